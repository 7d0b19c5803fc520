// SPDX-License-Identifier: MIT
/*
 * Contexts of the program (their memory goes with them, and all of them are
 * synchronised before memory is moved) and peer access.
 */
#include "intercept/copy/copy.h"
#include "intercept/records/records.h"

#include <stdlib.h>

static struct {
	pthread_mutex_t lock;
	CUcontext *created;
	size_t nr_created, room;
	CUcontext primary[CCR_MAX_DEVICES];
	/* peer[a][b]: device a may use cuMemAlloc memory of device b. */
	bool peer[CCR_MAX_DEVICES][CCR_MAX_DEVICES];
} contexts = {.lock = PTHREAD_MUTEX_INITIALIZER};

void ccr__contexts_reset(void)
{
	pthread_mutex_init(&contexts.lock, NULL);
}

static CUresult note_created(CUresult result, const CUcontext *ctx)
{
	if (result != CUDA_SUCCESS || !ccr__is_active())
		return result;
	pthread_mutex_lock(&contexts.lock);
	if (contexts.nr_created == contexts.room) {
		const size_t room = contexts.room ? 2 * contexts.room : 16;
		CUcontext *grown = realloc(contexts.created, room * sizeof(*grown));

		if (grown) {
			contexts.created = grown;
			contexts.room = room;
		}
	}
	if (contexts.nr_created < contexts.room)
		contexts.created[contexts.nr_created++] = *ctx;
	else
		/* It could not be synchronised before memory is moved. */
		atomic_store(&ccr__core.gate_incomplete, true);
	pthread_mutex_unlock(&contexts.lock);
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

void ccr__context_forget(CUcontext ctx)
{
	pthread_mutex_lock(&contexts.lock);
	for (size_t i = 0; i < contexts.nr_created; i++)
		if (contexts.created[i] == ctx) {
			contexts.created[i] = contexts.created[--contexts.nr_created];
			break;
		}
	pthread_mutex_unlock(&contexts.lock);
}

static CUresult note_destroyed(CUresult result, CUcontext ctx)
{
	if (result == CUDA_SUCCESS && ccr__is_active()) {
		ccr__context_forget(ctx);
		ccr__alloc_drop_context(ctx);
	}
	return result;
}

CUresult ccr__wrap_cuCtxDestroy(CUcontext ctx)
{
	ccr__stage_release(ctx);
	return note_destroyed(ccr__real.cuCtxDestroy(ctx), ctx);
}

CUresult ccr__wrap_cuCtxDestroy_v2(CUcontext ctx)
{
	ccr__stage_release(ctx);
	return note_destroyed(ccr__real.cuCtxDestroy_v2(ctx), ctx);
}

size_t ccr__context_list(CUcontext *out, size_t room)
{
	size_t nr;

	pthread_mutex_lock(&contexts.lock);
	nr = contexts.nr_created;
	for (size_t i = 0; i < nr && i < room; i++)
		out[i] = contexts.created[i];
	pthread_mutex_unlock(&contexts.lock);
	return nr;
}

CUresult ccr__wrap_cuDevicePrimaryCtxRetain(CUcontext *ctx, CUdevice dev)
{
	const CUresult result = ccr__real.cuDevicePrimaryCtxRetain(ctx, dev);

	if (result == CUDA_SUCCESS && dev >= 0 && dev < CCR_MAX_DEVICES) {
		pthread_mutex_lock(&contexts.lock);
		contexts.primary[dev] = *ctx;
		pthread_mutex_unlock(&contexts.lock);
	}
	return result;
}

/* Threads of ours must not outlive the context; whether it ends is not known before. */
static void before_primary_goes(CUdevice dev)
{
	CUcontext ctx;

	if (dev < 0 || dev >= CCR_MAX_DEVICES)
		return;
	pthread_mutex_lock(&contexts.lock);
	ctx = contexts.primary[dev];
	pthread_mutex_unlock(&contexts.lock);
	if (ctx)
		ccr__stage_release(ctx);
}

/* `only_inactive`: a release that left other references changes nothing. */
static CUresult note_primary_gone(CUresult result, CUdevice dev, bool only_inactive)
{
	unsigned int flags;
	CUcontext ctx;
	int active = 0;

	if (result != CUDA_SUCCESS || !ccr__is_active() || dev < 0 || dev >= CCR_MAX_DEVICES)
		return result;
	if (only_inactive &&
	    (ccr__real.cuDevicePrimaryCtxGetState(dev, &flags, &active) != CUDA_SUCCESS || active))
		return result;
	pthread_mutex_lock(&contexts.lock);
	ctx = contexts.primary[dev];
	pthread_mutex_unlock(&contexts.lock);
	if (ctx)
		ccr__alloc_drop_context(ctx);
	return result;
}

CUresult ccr__wrap_cuDevicePrimaryCtxRelease(CUdevice dev)
{
	before_primary_goes(dev);
	return note_primary_gone(ccr__real.cuDevicePrimaryCtxRelease(dev), dev, true);
}

CUresult ccr__wrap_cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
	before_primary_goes(dev);
	return note_primary_gone(ccr__real.cuDevicePrimaryCtxRelease_v2(dev), dev, true);
}

CUresult ccr__wrap_cuDevicePrimaryCtxReset(CUdevice dev)
{
	before_primary_goes(dev);
	return note_primary_gone(ccr__real.cuDevicePrimaryCtxReset(dev), dev, false);
}

CUresult ccr__wrap_cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
	before_primary_goes(dev);
	return note_primary_gone(ccr__real.cuDevicePrimaryCtxReset_v2(dev), dev, false);
}

/* A context to copy in on behalf of nobody: the primary one if it exists, else any, else make it.
 */
CUresult ccr__context_push(CUdevice device, bool *retained)
{
	unsigned int flags;
	int active = 0;
	CUresult result;
	CUcontext ctx = NULL, popped;

	*retained = false;
	ccr__real.cuDevicePrimaryCtxGetState(device, &flags, &active);
	for (size_t i = 0; !active && i < ccr__memory.nr_mappings && !ctx; i++) {
		const struct ccr__mapping *m = ccr__memory.mappings[i];
		CUdevice owner = -1;

		if (!m->is_alloc || m->phys->device != (uint32_t)device ||
		    ccr__real.cuCtxPushCurrent_v2(m->ctx) != CUDA_SUCCESS)
			continue;
		if (ccr__real.cuCtxGetDevice(&owner) == CUDA_SUCCESS && owner == device)
			return CUDA_SUCCESS;
		ccr__real.cuCtxPopCurrent_v2(&popped);
	}
	result = ccr__real.cuDevicePrimaryCtxRetain(&ctx, device);
	if (result != CUDA_SUCCESS)
		return result;
	*retained = true;
	result = ccr__real.cuCtxPushCurrent_v2(ctx);
	if (result != CUDA_SUCCESS)
		ccr__real.cuDevicePrimaryCtxRelease_v2(device);
	return result;
}

void ccr__context_pop(CUdevice device, bool retained)
{
	CUcontext popped;

	ccr__real.cuCtxPopCurrent_v2(&popped);
	if (retained)
		ccr__real.cuDevicePrimaryCtxRelease_v2(device);
}

/* --- peer access --- */

bool ccr__peer_enabled(CUdevice accessor, CUdevice owner)
{
	return __atomic_load_n(&contexts.peer[accessor][owner], __ATOMIC_RELAXED);
}

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

/* The program's kernels on `accessor` use memory of `owner` as they may use cuMemAlloc memory. */
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
	__atomic_store_n(&contexts.peer[accessor][owner], enabled, __ATOMIC_RELAXED);
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
			ccr_err("access of device %d to %#llx: %s", accessor, m->base,
				ccr_cuda_error_name(result));
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
