// SPDX-License-Identifier: MIT
/*
 * cuMemAlloc, cuMemAllocPitch, cuMemFree: a large allocation becomes exportable
 * memory in its own address reservation. If any step fails, we pass the call to
 * the driver.
 */
#include "intercept/calls/calls.h"
#include "intercept/records/contexts.h"
#include "intercept/records/records.h"
#include "intercept/records/shared.h"

#include <stdlib.h>
#include <string.h>

/* More than any device has: rounding such a size up must not overflow. */
#define TOO_LARGE (1ull << 48)

/* Mappings that the program freed while a stream was capturing. Waiting for the device would have
 * ended the capture. */
static struct ccr__mapping *deferred;

CUresult ccr__alloc_place(struct ccr__mapping *m, uint64_t alignment)
{
	CUresult result;

	result = ccr__real.cuMemAddressReserve(&m->base, m->size, alignment, 0, 0);
	if (result != CUDA_SUCCESS)
		return result;
	result = ccr__place_map(m, m->phys->handle);
	if (result != CUDA_SUCCESS)
		ccr__real.cuMemAddressFree(m->base, m->size);
	return result;
}

void ccr__alloc_unplace(const struct ccr__mapping *m)
{
	ccr__real.cuMemUnmap(m->base, m->size);
	ccr__real.cuMemAddressFree(m->base, m->size);
}

static void set_access(struct ccr__mapping *m, CUdevice device)
{
	memset(m->access, 0, sizeof(m->access));
	for (int other = 0; other < CCR_MAX_DEVICES; other++)
		if (other == device || ccr__peer_enabled(other, device))
			m->access[other] = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
}

static CUresult create_locked(struct ccr__mapping *m, CUdevice device, size_t bytes,
			      uint64_t granularity)
{
	const CUmemAllocationProp prop = ccr__device_prop(device);
	CUresult result = CUDA_ERROR_OUT_OF_MEMORY;

	m->size = (bytes + granularity - 1) / granularity * granularity;
	m->phys = ccr__phys_new(m->size);
	if (!m->phys)
		return result;
	m->phys->requested = bytes;
	m->phys->device = device;
	m->phys->prop = prop;
	set_access(m, device);
	result = ccr__real.cuMemCreate(&m->phys->handle, m->size, &prop, 0);
	if (result != CUDA_SUCCESS) {
		m->phys->handle = 0;
		goto out_forget;
	}
	result = ccr__alloc_place(m, granularity);
	if (result != CUDA_SUCCESS)
		goto out_forget;
	if (ccr__mapping_add(m))
		return CUDA_SUCCESS;
	result = CUDA_ERROR_OUT_OF_MEMORY;
	ccr__alloc_unplace(m);
out_forget:
	ccr__place_release(m->phys);
	return result;
}

/* Returns false when the driver should make the allocation. */
static bool replace(CUdeviceptr *dptr, size_t bytes)
{
	struct ccr__mapping m = {.is_alloc = true};
	const struct ccr__device *d;
	CUdevice device;
	CUresult result;

	if (!ccr__is_active() || bytes < CCR_REPLACE_MIN || bytes > TOO_LARGE)
		return false;
	if (ccr__real.cuCtxGetDevice(&device) != CUDA_SUCCESS ||
	    ccr__real.cuCtxGetCurrent(&m.ctx) != CUDA_SUCCESS || !m.ctx)
		return false;
	d = ccr__device_get(device);
	if (!d->can_replace)
		return false;
	ccr__alloc_flush();
	ccr__memory_lock();
	result = create_locked(&m, device, bytes, d->granularity);
	ccr__memory_unlock();
	if (result == CUDA_SUCCESS)
		*dptr = m.base;
	else
		ccr_debug("allocation of %zu bytes is left to the driver: %s", bytes,
			  ccr_cuda_error_name(result));
	return result == CUDA_SUCCESS;
}

CUresult ccr__wrap_cuMemAlloc_v2(CUdeviceptr *dptr, size_t bytes)
{
	if (dptr && replace(dptr, bytes))
		return CUDA_SUCCESS;
	return ccr__real.cuMemAlloc_v2(dptr, bytes);
}

CUresult ccr__wrap_cuMemAllocPitch_v2(CUdeviceptr *dptr, size_t *pitch, size_t width, size_t height,
				      unsigned int element)
{
	CUdeviceptr row;
	size_t stride;

	if (!dptr || !pitch || !ccr__is_active() || !width || !height ||
	    width > TOO_LARGE / height || width * height < CCR_REPLACE_MIN / 2)
		return ccr__real.cuMemAllocPitch_v2(dptr, pitch, width, height, element);
	/* Only the driver knows which stride it would choose, so we let it allocate one row. */
	if (ccr__real.cuMemAllocPitch_v2(&row, &stride, width, 1, element) == CUDA_SUCCESS) {
		ccr__real.cuMemFree_v2(row);
		if (stride <= TOO_LARGE / height && replace(dptr, stride * height)) {
			*pitch = stride;
			return CUDA_SUCCESS;
		}
	}
	return ccr__real.cuMemAllocPitch_v2(dptr, pitch, width, height, element);
}

/* Frees a mapping that is no longer in the table. */
static void drop(struct ccr__mapping *m)
{
	CUresult result = ccr__real.cuMemUnmap(m->base, m->size);

	if (result == CUDA_SUCCESS)
		result = ccr__real.cuMemAddressFree(m->base, m->size);
	if (result != CUDA_SUCCESS)
		ccr_err("cannot free %#llx: %s", m->base, ccr_cuda_error_name(result));
	ccr__place_release(m->phys);
	free(m);
}

static CUresult synchronize(CUcontext ctx)
{
	CUcontext popped;
	CUresult result = ccr__real.cuCtxPushCurrent_v2(ctx);

	if (result != CUDA_SUCCESS)
		/* The context is gone, and with it all work on the memory. */
		return CUDA_SUCCESS;
	result = ccr__real.cuCtxSynchronize();
	ccr__real.cuCtxPopCurrent_v2(&popped);
	return result;
}

void ccr__alloc_flush(void)
{
	struct ccr__mapping *list;

	if (!__atomic_load_n(&deferred, __ATOMIC_RELAXED) ||
	    __atomic_load_n(&ccr__nr_captures, __ATOMIC_RELAXED))
		return;
	ccr__memory_lock();
	list = deferred;
	deferred = NULL;
	ccr__memory_unlock();
	while (list) {
		struct ccr__mapping *m = list;

		list = m->next;
		synchronize(m->ctx);
		ccr__memory_lock();
		drop(m);
		ccr__memory_unlock();
	}
}

static void defer_locked(struct ccr__mapping *m)
{
	ccr__mapping_remove(m);
	m->next = deferred;
	__atomic_store_n(&deferred, m, __ATOMIC_RELAXED);
}

/* Returns the mapping, marked so that only we free it, or NULL when it is not one of ours. */
static struct ccr__mapping *take(CUdeviceptr dptr)
{
	struct ccr__mapping *m = NULL;

	if (!ccr__is_active())
		return NULL;
	ccr__memory_lock();
	m = ccr__mapping_at(dptr);
	if (m && (m->base != dptr || !m->is_alloc || m->is_freeing || m->phys->is_foreign))
		m = NULL;
	if (m)
		m->is_freeing = true;
	ccr__memory_unlock();
	return m;
}

CUresult ccr__alloc_release(struct ccr__mapping *m)
{
	CUresult result;

	if (__atomic_load_n(&ccr__nr_captures, __ATOMIC_RELAXED)) {
		ccr__memory_lock();
		defer_locked(m);
		ccr__memory_unlock();
		return CUDA_SUCCESS;
	}
	result = synchronize(m->ctx);
	ccr__memory_lock();
	if (result == CUDA_SUCCESS) {
		ccr__mapping_remove(m);
		drop(m);
	} else {
		m->is_freeing = false;
	}
	ccr__memory_unlock();
	return result;
}

/* Memory that is freed is shared with nobody. */
static CUresult free_of_driver(CUdeviceptr dptr)
{
	bool was_shared;
	CUresult result;

	/* Before the call: the address may be used again at once. */
	ccr__memory_lock();
	was_shared = ccr__shared_drop_all(CCR__EXPORTED_ADDRESS, dptr);
	ccr__memory_unlock();
	result = ccr__real.cuMemFree_v2(dptr);
	if (result == CUDA_SUCCESS || !was_shared)
		return result;
	ccr__memory_lock();
	ccr__shared_add(CCR__EXPORTED_ADDRESS, dptr);
	ccr__memory_unlock();
	return result;
}

CUresult ccr__wrap_cuMemFree_v2(CUdeviceptr dptr)
{
	struct ccr__mapping *m = take(dptr);

	return m ? ccr__alloc_release(m) : free_of_driver(dptr);
}

CUresult ccr__wrap_cuMemFreeAsync(CUdeviceptr dptr, CUstream stream)
{
	struct ccr__mapping *m = take(dptr);

	return m ? ccr__alloc_release(m) : ccr__real.cuMemFreeAsync(dptr, stream);
}

CUresult ccr__wrap_cuMemFreeAsync_ptsz(CUdeviceptr dptr, CUstream stream)
{
	struct ccr__mapping *m = take(dptr);

	return m ? ccr__alloc_release(m) : ccr__real.cuMemFreeAsync_ptsz(dptr, stream);
}

void ccr__alloc_drop_context(CUcontext ctx)
{
	ccr__memory_lock();
	for (size_t i = ccr__memory.nr_mappings; i-- > 0;) {
		struct ccr__mapping *m = ccr__memory.mappings[i];

		if (!m->is_alloc || m->ctx != ctx || m->is_freeing)
			continue;
		ccr__mapping_remove(m);
		drop(m);
	}
	ccr__memory_unlock();
}
