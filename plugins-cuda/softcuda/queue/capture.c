// SPDX-License-Identifier: MIT
// Stream capture, as far as it changes what other calls may do: a stream that is being captured
// runs nothing, and calls that would wait for it fail and end the capture with an error. The graph
// is always empty: nothing is recorded, and nodes that are added are only checked. The queue lock
// guards the flags.
#include "softcuda/impl.h"

bool ccr_stream_is_capturing(struct ccr_stream *stream)
{
	bool is_capturing;

	ccr_queue_lock();
	is_capturing = stream->is_capturing;
	ccr_queue_unlock();
	return is_capturing;
}

static CUresult begin(CUstream handle)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);

	if (result != CUDA_SUCCESS)
		return result;
	if (stream == stream->ctx->legacy)
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	ccr_queue_lock();
	if (stream->is_capturing)
		result = CUDA_ERROR_ILLEGAL_STATE;
	stream->is_capturing = true;
	ccr_queue_unlock();
	return result;
}

CUresult SOFT(cuStreamBeginCapture)(CUstream handle)
{
	return begin(handle);
}

CUresult SOFT(cuStreamBeginCapture_v2)(CUstream handle, CUstreamCaptureMode mode)
{
	return mode < 0 || mode > 2 ? CUDA_ERROR_INVALID_VALUE : begin(handle);
}

CUresult SOFT(cuStreamEndCapture)(CUstream handle, CUgraph *graph)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);

	if (result != CUDA_SUCCESS)
		return result;
	if (graph)
		*graph = NULL;
	ccr_queue_lock();
	if (!stream->is_capturing)
		result = CUDA_ERROR_ILLEGAL_STATE;
	else if (stream->is_invalidated)
		result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	stream->is_capturing = stream->is_invalidated = false;
	ccr_queue_unlock();
	return result;
}

CUresult SOFT(cuStreamIsCapturing)(CUstream handle, CUstreamCaptureStatus *status)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);

	if (!status)
		return CUDA_ERROR_INVALID_VALUE;
	if (result != CUDA_SUCCESS)
		return result;
	ccr_queue_lock();
	*status = stream->is_invalidated ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
		  : stream->is_capturing ? CU_STREAM_CAPTURE_STATUS_ACTIVE
					 : CU_STREAM_CAPTURE_STATUS_NONE;
	ccr_queue_unlock();
	return CUDA_SUCCESS;
}

static CUresult add_node(CUgraphNode *node, CUevent event)
{
	if (!node)
		return CUDA_ERROR_INVALID_VALUE;
	*node = NULL;
	return ccr_handle_of(CCR_HANDLE_EVENT, event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult SOFT(cuGraphAddEventRecordNode)(CUgraphNode *node, CUgraph graph, const CUgraphNode *nodes,
					 size_t nr_nodes, CUevent event)
{
	return add_node(node, event);
}

CUresult SOFT(cuGraphAddEventWaitNode)(CUgraphNode *node, CUgraph graph, const CUgraphNode *nodes,
				       size_t nr_nodes, CUevent event)
{
	return add_node(node, event);
}

CUresult SOFT(cuGraphAddNode)(CUgraphNode *node, CUgraph graph, const CUgraphNode *nodes,
			      size_t nr_nodes, CUgraphNodeParams *params)
{
	if (!params || (params->type != CU_GRAPH_NODE_TYPE_WAIT_EVENT &&
			params->type != CU_GRAPH_NODE_TYPE_EVENT_RECORD))
		return CUDA_ERROR_NOT_SUPPORTED;
	return add_node(node, params->event);
}
