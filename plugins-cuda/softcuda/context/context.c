// SPDX-License-Identifier: MIT
// Creates, ends, retains and selects contexts. contexts.lock guards the list and the primary
// contexts.
#include "softcuda/impl.h"

#include <pthread.h>
#include <stdlib.h>

static struct {
	pthread_mutex_t lock;
	struct ccr_ctx *primary[CCR_MAX_DEVICES];
	unsigned int primary_flags[CCR_MAX_DEVICES];
} contexts = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_device(CUdevice dev)
{
	return dev >= 0 && dev < ccr_soft_settings()->nr_devices;
}

static CUcontext handle_of(const struct ccr_ctx *ctx)
{
	return ctx ? (CUcontext)(uintptr_t)ctx->handle : NULL;
}

// Call with contexts.lock held.
static struct ccr_ctx *new_context(int device, unsigned int flags, bool is_primary)
{
	struct ccr_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	ctx->handle = ccr_handle_new(CCR_HANDLE_CTX, ctx);
	ctx->legacy = ccr_stream_new(ctx, CU_STREAM_DEFAULT, 0);
	if (!ctx->handle || !ctx->legacy) {
		ccr_stream_destroy_all(ctx);
		ccr_handle_drop(ctx->handle);
		free(ctx);
		return NULL;
	}
	ctx->device = device;
	ctx->flags = flags;
	ctx->is_primary = is_primary;
	ctx->is_alive = true;
	ccr_ctx_add(ctx);
	return ctx;
}

// Ends a context's work, streams and memory. A primary context may be retained again later.
static void end_context(struct ccr_ctx *ctx)
{
	ccr_queue_wait_context(ctx);
	ccr_stream_destroy_all(ctx);
	ccr_module_free_context(ctx);
	ccr_peer_forget(ctx);
	ccr_memory_free_context(ctx);
	ccr_host_free_context(ctx);
	ctx->is_alive = false;
	ctx->retained = 0;
	atomic_store(&ctx->sticky, CUDA_SUCCESS);
}

CUresult SOFT(cuDevicePrimaryCtxRetain)(CUcontext *ctx, CUdevice dev)
{
	CUresult result = CUDA_SUCCESS;
	struct ccr_ctx *primary;

	if (!ctx)
		return CUDA_ERROR_INVALID_VALUE;
	if (!is_device(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_mutex_lock(&contexts.lock);
	primary = contexts.primary[dev];
	if (!primary) {
		primary = new_context(dev, contexts.primary_flags[dev], true);
		contexts.primary[dev] = primary;
	} else if (!primary->is_alive) {
		primary->legacy = ccr_stream_new(primary, CU_STREAM_DEFAULT, 0);
		primary->is_alive = primary->legacy != NULL;
		primary->flags = contexts.primary_flags[dev];
	}
	if (primary && primary->is_alive) {
		primary->retained++;
		*ctx = handle_of(primary);
	} else {
		result = CUDA_ERROR_OUT_OF_MEMORY;
	}
	pthread_mutex_unlock(&contexts.lock);
	return result;
}

CUresult SOFT(cuDevicePrimaryCtxRelease_v2)(CUdevice dev)
{
	CUresult result = CUDA_SUCCESS;
	struct ccr_ctx *primary;

	if (!is_device(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_mutex_lock(&contexts.lock);
	primary = contexts.primary[dev];
	if (!primary || !primary->is_alive)
		result = CUDA_ERROR_INVALID_CONTEXT;
	else if (!--primary->retained)
		end_context(primary);
	pthread_mutex_unlock(&contexts.lock);
	return result;
}

CUresult SOFT(cuDevicePrimaryCtxReset_v2)(CUdevice dev)
{
	struct ccr_ctx *primary;

	if (!is_device(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_mutex_lock(&contexts.lock);
	primary = contexts.primary[dev];
	if (primary && primary->is_alive)
		end_context(primary);
	pthread_mutex_unlock(&contexts.lock);
	return CUDA_SUCCESS;
}

CUresult SOFT(cuDevicePrimaryCtxGetState)(CUdevice dev, unsigned int *flags, int *active)
{
	if (!flags || !active)
		return CUDA_ERROR_INVALID_VALUE;
	if (!is_device(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_mutex_lock(&contexts.lock);
	*flags = contexts.primary_flags[dev];
	*active = contexts.primary[dev] && contexts.primary[dev]->is_alive;
	pthread_mutex_unlock(&contexts.lock);
	return CUDA_SUCCESS;
}

CUresult SOFT(cuDevicePrimaryCtxSetFlags_v2)(CUdevice dev, unsigned int flags)
{
	if (!is_device(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	if (flags & ~(unsigned int)CU_CTX_FLAGS_MASK)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&contexts.lock);
	contexts.primary_flags[dev] = flags;
	if (contexts.primary[dev])
		contexts.primary[dev]->flags = flags;
	pthread_mutex_unlock(&contexts.lock);
	return CUDA_SUCCESS;
}

CUresult SOFT(cuCtxCreate_v2)(CUcontext *ctx, unsigned int flags, CUdevice dev)
{
	struct ccr_ctx *made;

	if (!ctx || flags & ~(unsigned int)CU_CTX_FLAGS_MASK)
		return CUDA_ERROR_INVALID_VALUE;
	if (!is_device(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	if (!ccr_ctx_has_room())
		return CUDA_ERROR_OUT_OF_MEMORY;
	pthread_mutex_lock(&contexts.lock);
	made = new_context(dev, flags, false);
	pthread_mutex_unlock(&contexts.lock);
	if (!made)
		return CUDA_ERROR_OUT_OF_MEMORY;
	ccr_ctx_push(made);
	*ctx = handle_of(made);
	return CUDA_SUCCESS;
}

CUresult SOFT(cuCtxCreate_v4)(CUcontext *ctx, CUctxCreateParams *params, unsigned int flags,
			      CUdevice dev)
{
	return params ? CUDA_ERROR_NOT_SUPPORTED : SOFT(cuCtxCreate_v2)(ctx, flags, dev);
}

CUresult SOFT(cuCtxDestroy_v2)(CUcontext handle)
{
	struct ccr_ctx *ctx = ccr_handle_of(CCR_HANDLE_CTX, handle);

	if (!ctx || ctx->is_primary || !ctx->is_alive)
		return CUDA_ERROR_INVALID_CONTEXT;
	pthread_mutex_lock(&contexts.lock);
	end_context(ctx);
	pthread_mutex_unlock(&contexts.lock);
	ccr_handle_drop(ctx->handle);
	if (ccr_ctx_top() == ctx)
		ccr_ctx_pop();
	return CUDA_SUCCESS;
}

CUresult SOFT(cuCtxSetCurrent)(CUcontext handle)
{
	struct ccr_ctx *ctx = ccr_handle_of(CCR_HANDLE_CTX, handle);

	if (handle && (!ctx || !ctx->is_alive))
		return CUDA_ERROR_INVALID_CONTEXT;
	ccr_ctx_pop();
	if (ctx)
		ccr_ctx_push(ctx);
	return CUDA_SUCCESS;
}

CUresult SOFT(cuCtxGetCurrent)(CUcontext *ctx)
{
	if (!ctx)
		return CUDA_ERROR_INVALID_VALUE;
	*ctx = handle_of(ccr_ctx_top());
	return CUDA_SUCCESS;
}

CUresult SOFT(cuCtxPushCurrent_v2)(CUcontext handle)
{
	struct ccr_ctx *ctx = ccr_handle_of(CCR_HANDLE_CTX, handle);

	if (!ctx || !ctx->is_alive)
		return CUDA_ERROR_INVALID_CONTEXT;
	return ccr_ctx_push(ctx) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult SOFT(cuCtxPopCurrent_v2)(CUcontext *ctx)
{
	struct ccr_ctx *popped = ccr_ctx_pop();

	if (!popped)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (ctx)
		*ctx = handle_of(popped);
	return CUDA_SUCCESS;
}

CUresult SOFT(cuCtxGetDevice)(CUdevice *device)
{
	struct ccr_ctx *ctx = ccr_ctx_top();

	if (!device)
		return CUDA_ERROR_INVALID_VALUE;
	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	*device = ctx->device;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuCtxGetFlags)(unsigned int *flags)
{
	struct ccr_ctx *ctx = ccr_ctx_top();

	if (!flags)
		return CUDA_ERROR_INVALID_VALUE;
	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	*flags = ctx->flags;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuCtxSynchronize)(void)
{
	struct ccr_ctx *ctx;
	CUresult result = ccr_ctx_current(&ctx);

	if (result != CUDA_SUCCESS)
		return result;
	if (ccr_queue_end_captures(ctx))
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	ccr_queue_wait_context(ctx);
	return (CUresult)atomic_load(&ctx->sticky);
}

CUresult SOFT(cuCtxGetApiVersion)(CUcontext handle, unsigned int *version)
{
	const struct ccr_ctx *ctx = handle ? ccr_handle_of(CCR_HANDLE_CTX, handle) : ccr_ctx_top();

	if (!version)
		return CUDA_ERROR_INVALID_VALUE;
	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	*version = 3020;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuCtxGetStreamPriorityRange)(int *least, int *greatest)
{
	struct ccr_ctx *ctx;
	CUresult result = ccr_ctx_current(&ctx);

	if (result != CUDA_SUCCESS)
		return result;
	if (least)
		*least = 0;
	if (greatest)
		*greatest = -5;
	return CUDA_SUCCESS;
}
