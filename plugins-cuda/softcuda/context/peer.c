// SPDX-License-Identifier: MIT
// Peer access: kernels on the current context's device may access the peer's cuMemAlloc memory. VMM
// memory has its own access rights (cuMemSetAccess).
#include "softcuda/impl.h"

void ccr_peer_forget(struct ccr_ctx *ctx)
{
	ccr_mem_lock();
	for (int i = 0; i < CCR_MAX_DEVICES; i++)
		if (ctx->peers & 1u << i)
			ccr_peer_change(ctx->device, i, -1);
	ctx->peers = 0;
	ccr_mem_unlock();
}

static CUresult both(CUcontext handle, struct ccr_ctx **own, struct ccr_ctx **peer)
{
	CUresult result = ccr_ctx_current(own);

	if (result != CUDA_SUCCESS)
		return result;
	*peer = ccr_handle_of(CCR_HANDLE_CTX, handle);
	if (!*peer || !(*peer)->is_alive)
		return CUDA_ERROR_INVALID_CONTEXT;
	return (*peer)->device == (*own)->device ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}

CUresult SOFT(cuCtxEnablePeerAccess)(CUcontext handle, unsigned int flags)
{
	struct ccr_ctx *own, *peer;
	CUresult result = both(handle, &own, &peer);

	if (result != CUDA_SUCCESS)
		return result;
	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	if (own->peers & 1u << peer->device)
		result = CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
	else
		ccr_peer_change(own->device, peer->device, 1);
	own->peers |= 1u << peer->device;
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuCtxDisablePeerAccess)(CUcontext handle)
{
	struct ccr_ctx *own, *peer;
	CUresult result = both(handle, &own, &peer);

	if (result != CUDA_SUCCESS)
		return result;
	ccr_mem_lock();
	if (!(own->peers & 1u << peer->device))
		result = CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
	else
		ccr_peer_change(own->device, peer->device, -1);
	own->peers &= ~(1u << peer->device);
	ccr_mem_unlock();
	return result;
}
