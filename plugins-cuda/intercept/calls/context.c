// SPDX-License-Identifier: MIT
/*
 * Peer access, and the program's contexts: destroying one frees its memory, and
 * all of them are synchronized before memory is moved.
 */
#include "intercept/calls/calls.h"
#include "intercept/copy/threads.h"
#include "intercept/records/contexts.h"
#include "intercept/records/events.h"
#include "intercept/records/records.h"

static CUresult note_created(CUresult result, const CUcontext *ctx)
{
	if (result == CUDA_SUCCESS && ccr__is_active())
		ccr__context_note(*ctx);
	return result;
}

CUresult ccr__wrap_cuCtxCreate(CUcontext *ctx, unsigned int flags, CUdevice dev)
{
	return note_created(ccr__real.cuCtxCreate(ctx, flags, dev), ctx);
}

CUresult ccr__wrap_cuCtxCreate_v2(CUcontext *ctx, unsigned int flags, CUdevice dev)
{
	return note_created(ccr__real.cuCtxCreate_v2(ctx, flags, dev), ctx);
}

CUresult ccr__wrap_cuCtxCreate_v3(CUcontext *ctx, CUexecAffinityParam *params, int count,
				  unsigned int flags, CUdevice dev)
{
	return note_created(ccr__real.cuCtxCreate_v3(ctx, params, count, flags, dev), ctx);
}

CUresult ccr__wrap_cuCtxCreate_v4(CUcontext *ctx, CUctxCreateParams *params, unsigned int flags,
				  CUdevice dev)
{
	return note_created(ccr__real.cuCtxCreate_v4(ctx, params, flags, dev), ctx);
}

static CUresult note_destroyed(CUresult result, CUcontext ctx)
{
	if (result == CUDA_SUCCESS && ccr__is_active()) {
		ccr__captures_drop_context(ctx);
		ccr__events_drop_context(ctx);
		ccr__context_forget(ctx);
		ccr__alloc_drop_context(ctx);
	}
	return result;
}

CUresult ccr__wrap_cuCtxDestroy(CUcontext ctx)
{
	ccr__copy_threads_end(ctx);
	return note_destroyed(ccr__real.cuCtxDestroy(ctx), ctx);
}

CUresult ccr__wrap_cuCtxDestroy_v2(CUcontext ctx)
{
	ccr__copy_threads_end(ctx);
	return note_destroyed(ccr__real.cuCtxDestroy_v2(ctx), ctx);
}

CUresult ccr__wrap_cuDevicePrimaryCtxRetain(CUcontext *ctx, CUdevice dev)
{
	const CUresult result = ccr__real.cuDevicePrimaryCtxRetain(ctx, dev);

	if (result == CUDA_SUCCESS)
		ccr__primary_note(dev, *ctx);
	return result;
}

/* Our threads must not outlive the context; we cannot know yet whether it will be destroyed. */
static void before_primary_release(CUdevice dev)
{
	const CUcontext ctx = ccr__primary_of(dev);

	if (ctx)
		ccr__copy_threads_end(ctx);
}

/* `only_inactive`: nothing changes when the release left other references. */
static CUresult note_primary_destroyed(CUresult result, CUdevice dev, bool only_inactive)
{
	unsigned int flags;
	CUcontext ctx;
	int active = 0;

	if (result != CUDA_SUCCESS || !ccr__is_active())
		return result;
	if (only_inactive &&
	    (ccr__real.cuDevicePrimaryCtxGetState(dev, &flags, &active) != CUDA_SUCCESS || active))
		return result;
	ctx = ccr__primary_of(dev);
	if (ctx) {
		ccr__captures_drop_context(ctx);
		ccr__events_drop_context(ctx);
		ccr__alloc_drop_context(ctx);
	}
	return result;
}

CUresult ccr__wrap_cuDevicePrimaryCtxRelease(CUdevice dev)
{
	before_primary_release(dev);
	return note_primary_destroyed(ccr__real.cuDevicePrimaryCtxRelease(dev), dev, true);
}

CUresult ccr__wrap_cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
	before_primary_release(dev);
	return note_primary_destroyed(ccr__real.cuDevicePrimaryCtxRelease_v2(dev), dev, true);
}

CUresult ccr__wrap_cuDevicePrimaryCtxReset(CUdevice dev)
{
	before_primary_release(dev);
	return note_primary_destroyed(ccr__real.cuDevicePrimaryCtxReset(dev), dev, false);
}

CUresult ccr__wrap_cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
	before_primary_release(dev);
	return note_primary_destroyed(ccr__real.cuDevicePrimaryCtxReset_v2(dev), dev, false);
}

/* --- peer access --- */

static CUresult device_of(CUcontext ctx, CUdevice *device)
{
	CUcontext popped;
	CUresult result = ccr__real.cuCtxPushCurrent_v2(ctx);

	if (result != CUDA_SUCCESS)
		return result;
	result = ccr__real.cuCtxGetDevice(device);
	ccr__real.cuCtxPopCurrent_v2(&popped);
	return result;
}

/* Lets kernels on `accessor` use our memory of `owner`, as they could use cuMemAlloc memory. */
static void set_peer(CUcontext owner_ctx, bool enabled)
{
	const CUmemAccess_flags flags =
		enabled ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE;
	CUdevice accessor, owner;

	if (!ccr__is_active() || ccr__real.cuCtxGetDevice(&accessor) != CUDA_SUCCESS ||
	    device_of(owner_ctx, &owner) != CUDA_SUCCESS || accessor == owner || accessor < 0 ||
	    accessor >= CCR_MAX_DEVICES || owner < 0 || owner >= CCR_MAX_DEVICES)
		return;
	ccr__memory_lock();
	ccr__peer_set(accessor, owner, enabled);
	for (size_t i = 0; i < ccr__memory.nr_mappings; i++) {
		struct ccr__mapping *m = ccr__memory.mappings[i];
		const CUmemAccessDesc access = {
			.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = accessor},
			.flags = flags,
		};
		CUresult result;

		if (!m->is_alloc || m->phys->device != (uint32_t)owner)
			continue;
		result = ccr__real.cuMemSetAccess(m->base, m->size, &access, 1);
		if (result == CUDA_SUCCESS)
			m->access[accessor] = flags;
		else
			ccr_err("cannot set the access of device %d to %#llx: %s", accessor,
				m->base, ccr_cuda_error_name(result));
	}
	ccr__memory_unlock();
}

CUresult ccr__wrap_cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags)
{
	const CUresult result = ccr__real.cuCtxEnablePeerAccess(peer, flags);

	if (result == CUDA_SUCCESS)
		set_peer(peer, true);
	return result;
}

CUresult ccr__wrap_cuCtxDisablePeerAccess(CUcontext peer)
{
	const CUresult result = ccr__real.cuCtxDisablePeerAccess(peer);

	if (result == CUDA_SUCCESS)
		set_peer(peer, false);
	return result;
}
