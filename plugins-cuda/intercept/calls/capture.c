// SPDX-License-Identifier: MIT
/*
 * Counts the streams that are being captured. Synchronizing a context would end
 * its captures, so an evict waits until there are none.
 */
#include "intercept/calls/calls.h"
#include "intercept/gate/gate.h"

uint32_t ccr__nr_captures;

static CUresult begun(CUresult result)
{
	if (result == CUDA_SUCCESS)
		__atomic_add_fetch(&ccr__nr_captures, 1, __ATOMIC_SEQ_CST);
	return result;
}

/* An invalid capture ends here too, with an error. */
static CUresult ended(CUresult result)
{
	uint32_t now = __atomic_load_n(&ccr__nr_captures, __ATOMIC_SEQ_CST);

	if (result != CUDA_SUCCESS && result != CUDA_ERROR_STREAM_CAPTURE_INVALIDATED &&
	    result != CUDA_ERROR_STREAM_CAPTURE_UNJOINED)
		return result;
	while (now && !__atomic_compare_exchange_n(&ccr__nr_captures, &now, now - 1, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	if (now == 1)
		ccr__futex_wake(&ccr__nr_captures);
	return result;
}

CUresult ccr__wrap_cuStreamBeginCapture(CUstream stream)
{
	return begun(ccr__real.cuStreamBeginCapture(stream));
}

CUresult ccr__wrap_cuStreamBeginCapture_ptsz(CUstream stream)
{
	return begun(ccr__real.cuStreamBeginCapture_ptsz(stream));
}

CUresult ccr__wrap_cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
	return begun(ccr__real.cuStreamBeginCapture_v2(stream, mode));
}

CUresult ccr__wrap_cuStreamBeginCapture_v2_ptsz(CUstream stream, CUstreamCaptureMode mode)
{
	return begun(ccr__real.cuStreamBeginCapture_v2_ptsz(stream, mode));
}

CUresult ccr__wrap_cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph,
					       const CUgraphNode *nodes,
					       const CUgraphEdgeData *edges, size_t nr_nodes,
					       CUstreamCaptureMode mode)
{
	return begun(
		ccr__real.cuStreamBeginCaptureToGraph(stream, graph, nodes, edges, nr_nodes, mode));
}

CUresult ccr__wrap_cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph,
						    const CUgraphNode *nodes,
						    const CUgraphEdgeData *edges, size_t nr_nodes,
						    CUstreamCaptureMode mode)
{
	return begun(ccr__real.cuStreamBeginCaptureToGraph_ptsz(stream, graph, nodes, edges,
								nr_nodes, mode));
}

CUresult ccr__wrap_cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
	return ended(ccr__real.cuStreamEndCapture(stream, graph));
}

CUresult ccr__wrap_cuStreamEndCapture_ptsz(CUstream stream, CUgraph *graph)
{
	return ended(ccr__real.cuStreamEndCapture_ptsz(stream, graph));
}
