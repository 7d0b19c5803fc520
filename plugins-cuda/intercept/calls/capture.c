// SPDX-License-Identifier: MIT
/*
 * The streams that are being captured. Synchronizing a context would end its
 * captures, so an evict waits until there are none. A capture ends with
 * cuStreamEndCapture, or with its stream, context or thread.
 *
 * `lock` guards the set; it is held in no driver call. While the gate is closed, no
 * capture begins or ends.
 */
#include "intercept/calls/calls.h"
#include "intercept/core/core.h"
#include "intercept/core/mailbox.h"
#include "intercept/gate/gate.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct capture {
	CUstream stream;
	CUcontext ctx;
	pid_t tid; /* of the thread whose default stream it is; 0 for other streams */
};

static struct {
	pthread_mutex_t lock;
	struct capture *all;
	size_t nr, room;
} captures = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint32_t ccr__nr_captures;

/* Publishes the size of the set. */
static void changed_locked(void)
{
	__atomic_store_n(&ccr__nr_captures, captures.nr, __ATOMIC_SEQ_CST);
	__atomic_store_n(&ccr__mailbox->captures, captures.nr, __ATOMIC_RELAXED);
	if (!captures.nr)
		ccr__futex_wake(&ccr__nr_captures);
}

/* The name of a stream: its handle, or the calling thread for its default stream. */
static struct capture key_of(CUstream stream, bool per_thread)
{
	const bool own = stream == CU_STREAM_PER_THREAD || (!stream && per_thread);

	return (struct capture){
		.stream = own ? CU_STREAM_PER_THREAD : stream,
		.tid = own ? (pid_t)syscall(SYS_gettid) : 0,
	};
}

static CUcontext context_of(CUstream stream)
{
	CUcontext ctx = NULL;

	if (!ccr__real.cuStreamGetCtx || ccr__real.cuStreamGetCtx(stream, &ctx) != CUDA_SUCCESS)
		ccr__real.cuCtxGetCurrent(&ctx);
	return ctx;
}

static void add(struct capture capture)
{
	pthread_mutex_lock(&captures.lock);
	if (captures.nr == captures.room) {
		const size_t room = captures.room ? 2 * captures.room : 16;
		void *grown = realloc(captures.all, room * sizeof(capture));

		if (grown) {
			captures.all = grown;
			captures.room = room;
		}
	}
	if (captures.nr < captures.room)
		captures.all[captures.nr++] = capture;
	else
		/* An evict would end a capture that it does not know. */
		atomic_store(&ccr__core.gate_incomplete, true);
	changed_locked();
	pthread_mutex_unlock(&captures.lock);
}

/* Takes one capture of this stream out of the set. Returns false when there is none. */
static bool take(struct capture key, struct capture *taken)
{
	bool found = false;

	pthread_mutex_lock(&captures.lock);
	for (size_t i = 0; i < captures.nr && !found; i++) {
		found = captures.all[i].stream == key.stream && captures.all[i].tid == key.tid;
		if (!found)
			continue;
		*taken = captures.all[i];
		captures.all[i] = captures.all[--captures.nr];
		changed_locked();
	}
	pthread_mutex_unlock(&captures.lock);
	return found;
}

void ccr__captures_drop_context(CUcontext ctx)
{
	pthread_mutex_lock(&captures.lock);
	for (size_t i = captures.nr; i-- > 0;)
		if (captures.all[i].ctx == ctx)
			captures.all[i] = captures.all[--captures.nr];
	changed_locked();
	pthread_mutex_unlock(&captures.lock);
}

/* The default stream of a thread ends with the thread. */
void ccr__captures_drop_ended_threads(void)
{
	pthread_mutex_lock(&captures.lock);
	for (size_t i = captures.nr; i-- > 0;) {
		const pid_t tid = captures.all[i].tid;

		if (tid && syscall(SYS_tgkill, getpid(), tid, 0) && errno == ESRCH)
			captures.all[i] = captures.all[--captures.nr];
	}
	changed_locked();
	pthread_mutex_unlock(&captures.lock);
}

void ccr__captures_reset(void)
{
	pthread_mutex_init(&captures.lock, NULL);
	captures.nr = 0;
	ccr__nr_captures = 0;
	ccr__mailbox->captures = 0;
}

/*
 * Counted before the call, so that an evict never misses a capture, and taken
 * back when the call fails.
 */
#define BEGIN(call, stream, per_thread)                             \
	struct capture capture = key_of(stream, per_thread), taken; \
	CUresult result;                                            \
                                                                    \
	capture.ctx = context_of(capture.stream);                   \
	add(capture);                                               \
	result = call;                                              \
	if (result != CUDA_SUCCESS)                                 \
		take(capture, &taken);                              \
	return result;

/* An invalid capture ends here too, with an error. */
static CUresult ended(CUresult result, struct capture key)
{
	struct capture taken;

	if (result == CUDA_SUCCESS || result == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED ||
	    result == CUDA_ERROR_STREAM_CAPTURE_UNJOINED)
		take(key, &taken);
	return result;
}

CUresult ccr__wrap_cuStreamBeginCapture(CUstream stream){
	BEGIN(ccr__real.cuStreamBeginCapture(stream), stream, false)}

CUresult ccr__wrap_cuStreamBeginCapture_ptsz(CUstream stream){
	BEGIN(ccr__real.cuStreamBeginCapture_ptsz(stream), stream, true)}

CUresult ccr__wrap_cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode){
	BEGIN(ccr__real.cuStreamBeginCapture_v2(stream, mode), stream, false)}

CUresult ccr__wrap_cuStreamBeginCapture_v2_ptsz(CUstream stream, CUstreamCaptureMode mode){
	BEGIN(ccr__real.cuStreamBeginCapture_v2_ptsz(stream, mode), stream, true)}

CUresult ccr__wrap_cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph,
					       const CUgraphNode *nodes,
					       const CUgraphEdgeData *edges, size_t nr_nodes,
					       CUstreamCaptureMode mode){
	BEGIN(ccr__real.cuStreamBeginCaptureToGraph(stream, graph, nodes, edges, nr_nodes, mode),
	      stream, false)}

CUresult ccr__wrap_cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph,
						    const CUgraphNode *nodes,
						    const CUgraphEdgeData *edges, size_t nr_nodes,
						    CUstreamCaptureMode mode){
	BEGIN(ccr__real.cuStreamBeginCaptureToGraph_ptsz(stream, graph, nodes, edges, nr_nodes,
							 mode),
	      stream, true)}

CUresult ccr__wrap_cuStreamBeginRecaptureToGraph(CUstream stream, CUstreamCaptureMode mode,
						 CUgraph graph, CUgraphRecaptureCallback callback,
						 void *data){
	BEGIN(ccr__real.cuStreamBeginRecaptureToGraph(stream, mode, graph, callback, data), stream,
	      false)}

CUresult ccr__wrap_cuStreamBeginRecaptureToGraph_ptsz(CUstream stream, CUstreamCaptureMode mode,
						      CUgraph graph,
						      CUgraphRecaptureCallback callback,
						      void *data){
	BEGIN(ccr__real.cuStreamBeginRecaptureToGraph_ptsz(stream, mode, graph, callback, data),
	      stream, true)}

CUresult ccr__wrap_cuStreamBeginCaptureToCig(CUstream stream, CUstreamCigCaptureParams *params){
	BEGIN(ccr__real.cuStreamBeginCaptureToCig(stream, params), stream, false)}

CUresult
	ccr__wrap_cuStreamBeginCaptureToCig_ptsz(CUstream stream, CUstreamCigCaptureParams *params){
		BEGIN(ccr__real.cuStreamBeginCaptureToCig_ptsz(stream, params), stream, true)}

CUresult ccr__wrap_cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
	return ended(ccr__real.cuStreamEndCapture(stream, graph), key_of(stream, false));
}

CUresult ccr__wrap_cuStreamEndCapture_ptsz(CUstream stream, CUgraph *graph)
{
	return ended(ccr__real.cuStreamEndCapture_ptsz(stream, graph), key_of(stream, true));
}

CUresult ccr__wrap_cuStreamEndCaptureToCig(CUstream stream)
{
	return ended(ccr__real.cuStreamEndCaptureToCig(stream), key_of(stream, false));
}

CUresult ccr__wrap_cuStreamEndCaptureToCig_ptsz(CUstream stream)
{
	return ended(ccr__real.cuStreamEndCaptureToCig_ptsz(stream), key_of(stream, true));
}

/* First, because the handle may be used again as soon as the stream is gone. */
#define DESTROY(call, stream)                                           \
	struct capture taken;                                           \
	const bool was_capturing = take(key_of(stream, false), &taken); \
	const CUresult result = call;                                   \
                                                                        \
	if (was_capturing && result != CUDA_SUCCESS)                    \
		add(taken);                                             \
	return result;

CUresult ccr__wrap_cuStreamDestroy(CUstream stream){
	DESTROY(ccr__real.cuStreamDestroy(stream), stream)}

CUresult ccr__wrap_cuStreamDestroy_v2(CUstream stream)
{
	DESTROY(ccr__real.cuStreamDestroy_v2(stream), stream)
}
