// SPDX-License-Identifier: MIT
// Events. An event is a point in a stream; the operation at that point records the time.
#include "softcuda/impl.h"
#include "softcuda/queue/ipc_event.h"

#include <stdlib.h>
#include <time.h>

#define EVENT_FLAGS (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS)

CUresult ccr_event_new(CUevent *out, struct ccr_ctx *ctx, unsigned int flags,
		       struct ccr_ipc_event *ipc, bool is_opened)
{
	struct ccr_event *made = calloc(1, sizeof(*made));

	if (made)
		made->handle = ccr_handle_new(CCR_HANDLE_EVENT, made);
	if (!made || !made->handle) {
		free(made);
		if (ipc)
			ccr_ipc_event_free(ipc);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	made->ctx = ctx;
	made->flags = flags;
	made->refs = 1;
	made->ipc = ipc;
	made->is_opened = is_opened;
	*out = (CUevent)(uintptr_t)made->handle;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuEventCreate)(CUevent *event, unsigned int flags)
{
	struct ccr_ipc_event *ipc = NULL;
	struct ccr_ctx *ctx;
	CUresult result = ccr_ctx_current(&ctx);

	if (result != CUDA_SUCCESS)
		return result;
	if (!event || flags & ~(unsigned int)EVENT_FLAGS)
		return CUDA_ERROR_INVALID_VALUE;
	if (flags & CU_EVENT_INTERPROCESS) {
		if (!(flags & CU_EVENT_DISABLE_TIMING))
			return CUDA_ERROR_INVALID_VALUE;
		ipc = ccr_ipc_event_new();
		if (!ipc)
			return CUDA_ERROR_OUT_OF_MEMORY;
	}
	return ccr_event_new(event, ctx, flags, ipc, false);
}

CUresult SOFT(cuEventDestroy_v2)(CUevent handle)
{
	struct ccr_event *event = ccr_handle_of(CCR_HANDLE_EVENT, handle);

	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	ccr_handle_drop(event->handle);
	ccr_queue_lock();
	ccr_event_put(event);
	ccr_queue_unlock();
	return CUDA_SUCCESS;
}

static CUresult run_record(struct ccr_op *op)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ccr_queue_lock();
	if (op->event->point.stream == op->stream && op->event->point.seq == op->seq)
		op->event->time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	ccr_queue_unlock();
	return CUDA_SUCCESS;
}

CUresult SOFT(cuEventRecord)(CUevent handle, CUstream stream_handle)
{
	struct ccr_event *event = ccr_handle_of(CCR_HANDLE_EVENT, handle);
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(stream_handle, &stream);
	struct ccr_op *op;

	if (result != CUDA_SUCCESS)
		return result;
	if (!event || event->ctx != stream->ctx)
		return CUDA_ERROR_INVALID_HANDLE;
	if (event->ipc && ccr_stream_is_capturing(stream))
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	op = ccr_op_new(stream, run_record);
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->event = event;
	return ccr_queue_submit(op, false);
}

static bool point_of(CUevent handle, struct ccr_event **event, struct ccr_point *point)
{
	*event = ccr_handle_of(CCR_HANDLE_EVENT, handle);
	if (!*event)
		return false;
	ccr_queue_lock();
	*point = (*event)->point;
	ccr_queue_unlock();
	return true;
}

CUresult SOFT(cuEventQuery)(CUevent handle)
{
	struct ccr_event *event;
	struct ccr_point point;

	if (!point_of(handle, &event, &point))
		return CUDA_ERROR_INVALID_HANDLE;
	if (event->ipc ? !ccr_ipc_event_is_done(event->ipc, ccr_ipc_event_latest(event->ipc))
		       : !ccr_queue_is_done(point))
		return CUDA_ERROR_NOT_READY;
	return (CUresult)atomic_load(&event->ctx->sticky);
}

CUresult SOFT(cuEventSynchronize)(CUevent handle)
{
	struct ccr_event *event;
	struct ccr_point point;
	struct ccr_ctx *ctx;

	if (!point_of(handle, &event, &point))
		return CUDA_ERROR_INVALID_HANDLE;
	ctx = event->ctx;
	if (event->ipc)
		ccr_ipc_event_wait(event->ipc, ccr_ipc_event_latest(event->ipc));
	else
		ccr_queue_wait(point);
	return (CUresult)atomic_load(&ctx->sticky);
}

static CUresult run_await(struct ccr_op *op)
{
	ccr_ipc_event_wait(op->await->ipc, op->number);
	return CUDA_SUCCESS;
}

// Like a kernel that waits for another process, this keeps the stream from draining.
static CUresult await_other(struct ccr_stream *stream, struct ccr_event *event)
{
	struct ccr_op *op = ccr_op_new(stream, run_await);

	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->await = event;
	op->number = ccr_ipc_event_latest(event->ipc);
	return ccr_queue_submit(op, false);
}

CUresult SOFT(cuStreamWaitEvent)(CUstream stream_handle, CUevent handle, unsigned int flags)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(stream_handle, &stream);
	struct ccr_event *event;
	struct ccr_point point;
	struct ccr_op *op;

	if (result != CUDA_SUCCESS)
		return result;
	if (!point_of(handle, &event, &point))
		return CUDA_ERROR_INVALID_HANDLE;
	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	if (event->ipc && ccr_stream_is_capturing(stream))
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	if (event->ipc)
		return await_other(stream, event);
	if (!point.stream)
		return CUDA_SUCCESS;
	op = ccr_op_new(stream, NULL);
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->after = point;
	return ccr_queue_submit(op, false);
}

CUresult SOFT(cuEventElapsedTime)(float *ms, CUevent start_handle, CUevent end_handle)
{
	struct ccr_event *start, *end;
	struct ccr_point first, last;

	if (!ms)
		return CUDA_ERROR_INVALID_VALUE;
	if (!point_of(start_handle, &start, &first) || !point_of(end_handle, &end, &last) ||
	    !first.stream || !last.stream || start->ctx != end->ctx ||
	    (start->flags | end->flags) & CU_EVENT_DISABLE_TIMING)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!ccr_queue_is_done(first) || !ccr_queue_is_done(last))
		return CUDA_ERROR_NOT_READY;
	ccr_queue_lock();
	*ms = (float)((double)((int64_t)end->time_ns - (int64_t)start->time_ns) / 1e6);
	ccr_queue_unlock();
	return CUDA_SUCCESS;
}

CUresult SOFT(cuEventElapsedTime_v2)(float *ms, CUevent start, CUevent end)
{
	return SOFT(cuEventElapsedTime)(ms, start, end);
}
