// SPDX-License-Identifier: MIT
// Stream and event calls, and what a stream argument of 0 means to the calling thread.
#include "softcuda/impl.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

_Thread_local bool ccr_per_thread_default;

// The per-thread default streams of a thread, one per context in which it used one. Each entry
// holds a reference, so that we recognize a stream that ended with its context.
struct own_stream {
	struct ccr_ctx *ctx;
	struct ccr_stream *stream;
	struct own_stream *next;
};

static struct {
	pthread_once_t once;
	pthread_key_t key;
} per_thread = {.once = PTHREAD_ONCE_INIT};

static void end_thread(void *arg)
{
	struct own_stream *own = arg, *next;

	for (; own; own = next) {
		next = own->next;
		ccr_stream_destroy(own->stream);
		ccr_queue_lock();
		ccr_stream_put(own->stream);
		ccr_queue_unlock();
		free(own);
	}
}

static void make_key(void)
{
	if (pthread_key_create(&per_thread.key, end_thread))
		abort();
}

static CUresult own_stream_of(struct ccr_ctx *ctx, struct ccr_stream **out)
{
	struct own_stream *own, *head;

	pthread_once(&per_thread.once, make_key);
	head = pthread_getspecific(per_thread.key);
	for (own = head; own && own->ctx != ctx; own = own->next)
		;
	if (!own) {
		own = calloc(1, sizeof(*own));
		if (!own || pthread_setspecific(per_thread.key, own)) {
			free(own);
			return CUDA_ERROR_OUT_OF_MEMORY;
		}
		own->ctx = ctx;
		own->next = head;
	}
	ccr_queue_lock();
	if (own->stream && own->stream->is_destroyed) {
		ccr_stream_put(own->stream);
		own->stream = NULL;
	}
	ccr_queue_unlock();
	if (!own->stream) {
		own->stream = ccr_stream_new(ctx, CU_STREAM_DEFAULT, 0);
		if (!own->stream)
			return CUDA_ERROR_OUT_OF_MEMORY;
		ccr_queue_lock();
		own->stream->refs++;
		ccr_queue_unlock();
	}
	*out = own->stream;
	return CUDA_SUCCESS;
}

CUresult ccr_stream_of(CUstream handle, struct ccr_stream **out)
{
	struct ccr_ctx *ctx;
	CUresult result;

	if (handle && handle != CU_STREAM_LEGACY && handle != CU_STREAM_PER_THREAD) {
		*out = ccr_handle_of(CCR_HANDLE_STREAM, handle);
		if (!*out)
			return CUDA_ERROR_INVALID_HANDLE;
		return (CUresult)atomic_load(&(*out)->ctx->sticky);
	}
	result = ccr_ctx_current(&ctx);
	if (result != CUDA_SUCCESS)
		return result;
	if (handle == CU_STREAM_PER_THREAD || (!handle && ccr_per_thread_default))
		return own_stream_of(ctx, out);
	*out = ctx->legacy;
	return *out ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

CUresult SOFT(cuStreamCreateWithPriority)(CUstream *stream, unsigned int flags, int priority)
{
	struct ccr_stream *made;
	struct ccr_ctx *ctx;
	CUresult result = ccr_ctx_current(&ctx);

	if (result != CUDA_SUCCESS)
		return result;
	if (!stream || flags & ~(unsigned int)CU_STREAM_NON_BLOCKING)
		return CUDA_ERROR_INVALID_VALUE;
	priority = priority > 0 ? 0 : priority < -5 ? -5 : priority;
	made = ccr_stream_new(ctx, flags, priority);
	if (!made)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*stream = (CUstream)(uintptr_t)made->handle;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuStreamCreate)(CUstream *stream, unsigned int flags)
{
	return SOFT(cuStreamCreateWithPriority)(stream, flags, 0);
}

CUresult SOFT(cuStreamDestroy_v2)(CUstream handle)
{
	struct ccr_stream *stream = ccr_handle_of(CCR_HANDLE_STREAM, handle);

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	ccr_stream_destroy(stream);
	return CUDA_SUCCESS;
}

CUresult SOFT(cuStreamSynchronize)(CUstream handle)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);
	struct ccr_op *op;

	if (result != CUDA_SUCCESS)
		return result;
	if (ccr_queue_is_idle(stream))
		return (CUresult)atomic_load(&stream->ctx->sticky);
	op = ccr_op_new(stream, NULL);
	return op ? ccr_queue_submit(op, true) : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult SOFT(cuStreamQuery)(CUstream handle)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);

	if (result != CUDA_SUCCESS)
		return result;
	if (!ccr_queue_is_idle(stream))
		return CUDA_ERROR_NOT_READY;
	return (CUresult)atomic_load(&stream->ctx->sticky);
}

CUresult SOFT(cuStreamGetFlags)(CUstream handle, unsigned int *flags)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);

	if (!flags)
		return CUDA_ERROR_INVALID_VALUE;
	if (result == CUDA_SUCCESS)
		*flags = stream->flags;
	return result;
}

CUresult SOFT(cuStreamGetPriority)(CUstream handle, int *priority)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);

	if (!priority)
		return CUDA_ERROR_INVALID_VALUE;
	if (result == CUDA_SUCCESS)
		*priority = stream->priority;
	return result;
}

CUresult SOFT(cuStreamGetCtx)(CUstream handle, CUcontext *ctx)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);

	if (!ctx)
		return CUDA_ERROR_INVALID_VALUE;
	if (result == CUDA_SUCCESS)
		*ctx = (CUcontext)(uintptr_t)stream->ctx->handle;
	return result;
}

static CUresult run_host(struct ccr_op *op)
{
	if (op->host.fn)
		op->host.fn(op->host.data);
	else
		op->host.callback(op->host.stream, CUDA_SUCCESS, op->host.data);
	return CUDA_SUCCESS;
}

static CUresult submit_host(CUstream handle, CUhostFn fn, CUstreamCallback callback, void *data)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);
	struct ccr_op *op;

	if (result != CUDA_SUCCESS)
		return result;
	if (!fn && !callback)
		return CUDA_ERROR_INVALID_VALUE;
	op = ccr_op_new(stream, run_host);
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->host.fn = fn;
	op->host.callback = callback;
	op->host.data = data;
	op->host.stream = handle;
	return ccr_queue_submit(op, false);
}

CUresult SOFT(cuLaunchHostFunc)(CUstream handle, CUhostFn fn, void *data)
{
	return submit_host(handle, fn, NULL, data);
}

CUresult SOFT(cuStreamAddCallback)(CUstream handle, CUstreamCallback fn, void *data,
				   unsigned int flags)
{
	return flags ? CUDA_ERROR_INVALID_VALUE : submit_host(handle, NULL, fn, data);
}
