// SPDX-License-Identifier: MIT
/*
 * The program's own use of the virtual memory API. We make its allocations
 * exportable without its knowledge, and it knows them by our numbers. If we
 * could not restore a mapping exactly as it was, we exclude the allocation: the
 * driver keeps it.
 */
#include "intercept/calls/calls.h"
#include "intercept/records/kept.h"
#include "intercept/records/records.h"
#include "intercept/records/shared.h"

#include <stdlib.h>
#include <string.h>

/* Memory for other uses (sparse arrays, other handle types, host) keeps the driver's handle. */
static bool is_ours(const CUmemAllocationProp *prop)
{
	return ccr__is_active() && prop && prop->type == CU_MEM_ALLOCATION_TYPE_PINNED &&
	       prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE && !prop->win32HandleMetaData &&
	       !prop->allocFlags.usage &&
	       (prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE ||
		prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) &&
	       ccr__device_get(prop->location.id)->can_replace;
}

CUresult ccr__wrap_cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
			       const CUmemAllocationProp *prop, unsigned long long flags)
{
	CUmemGenericAllocationHandle real;
	CUmemAllocationProp exportable;
	struct ccr__phys *phys;

	if (!handle || flags || !is_ours(prop))
		return ccr__real.cuMemCreate(handle, size, prop, flags);
	ccr__alloc_flush();
	exportable = *prop;
	exportable.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	if (ccr__real.cuMemCreate(&real, size, &exportable, 0) != CUDA_SUCCESS)
		return ccr__real.cuMemCreate(handle, size, prop, flags);
	ccr__memory_lock();
	phys = ccr__phys_new(size);
	if (phys) {
		phys->handle = real;
		phys->prop = exportable;
		phys->asked = prop->requestedHandleTypes;
		phys->requested = size;
		phys->device = prop->location.id;
		phys->is_own_vmm = true;
		phys->app_refs = 1;
		*handle = ccr__phys_to_app(phys);
	} else {
		*handle = real;
	}
	ccr__memory_unlock();
	return CUDA_SUCCESS;
}

CUresult ccr__wrap_cuMemRelease(CUmemGenericAllocationHandle handle)
{
	CUresult result = CUDA_SUCCESS;
	struct ccr__phys *phys;

	ccr__memory_lock();
	phys = ccr__phys_from_app(handle);
	if (phys) {
		phys->app_refs--;
		/* Mapped memory outlives its handle; we keep ours to export the memory. */
		ccr__place_release(phys);
	} else {
		/* With the lock, because the number may be used again at once. */
		result = ccr__real.cuMemRelease(handle);
		if (result == CUDA_SUCCESS) {
			ccr__shared_drop(CCR__IMPORTED_HANDLE, handle);
			ccr__shared_drop_all(CCR__EXPORTED_HANDLE, handle);
			ccr__shared_drop(CCR__MULTICAST, handle);
		}
	}
	ccr__memory_unlock();
	return result;
}

CUresult ccr__wrap_cuMemMap(CUdeviceptr ptr, size_t size, size_t offset,
			    CUmemGenericAllocationHandle handle, unsigned long long flags)
{
	struct ccr__mapping m = {.base = ptr, .size = size, .offset = offset};
	CUresult result;

	ccr__memory_lock();
	m.phys = ccr__phys_from_app(handle);
	if (!m.phys) {
		result = ccr__real.cuMemMap(ptr, size, offset, handle, flags);
		if (result == CUDA_SUCCESS)
			ccr__shared_mapped(handle, ptr, size);
		ccr__memory_unlock();
		return result;
	}
	result = ccr__real.cuMemMap(ptr, size, offset, m.phys->handle, flags);
	if (result == CUDA_SUCCESS && !ccr__mapping_add(&m)) {
		ccr__real.cuMemUnmap(ptr, size);
		result = CUDA_ERROR_OUT_OF_MEMORY;
	}
	ccr__memory_unlock();
	return result;
}

/* Returns the first mapping in [ptr, ptr + size), or NULL. */
static struct ccr__mapping *first_in(CUdeviceptr ptr, size_t size)
{
	const size_t index = ccr__mapping_after(ptr);
	struct ccr__mapping *m;

	if (index == ccr__memory.nr_mappings)
		return NULL;
	m = ccr__memory.mappings[index];
	return m->base < ptr + size ? m : NULL;
}

CUresult ccr__wrap_cuMemUnmap(CUdeviceptr ptr, size_t size)
{
	struct ccr__mapping *m;
	CUresult result;

	if (!ccr__is_active())
		return ccr__real.cuMemUnmap(ptr, size);
	ccr__memory_lock();
	m = first_in(ptr, size);
	/* cuMemAlloc memory cannot be unmapped by this call. */
	result = m && m->is_alloc ? CUDA_ERROR_INVALID_VALUE : ccr__real.cuMemUnmap(ptr, size);
	while (result == CUDA_SUCCESS && (m = first_in(ptr, size))) {
		struct ccr__phys *phys = m->phys;

		ccr__mapping_remove(m);
		free(m);
		ccr__place_release(phys);
	}
	if (result == CUDA_SUCCESS)
		ccr__shared_unmapped(ptr, size);
	ccr__memory_unlock();
	return result;
}

static void note_access(struct ccr__mapping *m, const CUmemAccessDesc *desc, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (desc[i].location.type == CU_MEM_LOCATION_TYPE_DEVICE &&
		    desc[i].location.id >= 0 && desc[i].location.id < CCR_MAX_DEVICES)
			m->access[desc[i].location.id] = desc[i].flags;
		else
			ccr__phys_exclude(m->phys,
					  "it is mapped for something that is not a device");
	}
}

CUresult ccr__wrap_cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc,
				  size_t count)
{
	CUresult result;

	if (!ccr__is_active())
		return ccr__real.cuMemSetAccess(ptr, size, desc, count);
	ccr__memory_lock();
	result = ccr__real.cuMemSetAccess(ptr, size, desc, count);
	for (size_t i = ccr__mapping_after(ptr);
	     result == CUDA_SUCCESS && i < ccr__memory.nr_mappings; i++) {
		struct ccr__mapping *m = ccr__memory.mappings[i];

		if (m->base >= ptr + size)
			break;
		if (m->base < ptr || m->base + m->size > ptr + size)
			ccr__phys_exclude(m->phys, "the access differs within one mapping");
		note_access(m, desc, count);
	}
	ccr__memory_unlock();
	return result;
}

CUresult ccr__wrap_cuMemExportToShareableHandle(void *shareable,
						CUmemGenericAllocationHandle handle,
						CUmemAllocationHandleType type,
						unsigned long long flags)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct ccr__phys *phys;

	ccr__memory_lock();
	phys = ccr__phys_from_app(handle);
	/* The program may only export types that it has asked for. */
	if (phys && (phys->asked & type)) {
		result = ccr__real.cuMemExportToShareableHandle(shareable, phys->handle, type,
								flags);
		if (result == CUDA_SUCCESS)
			ccr__kept_export(phys, *(int *)shareable);
	}
	if (!phys) {
		result = ccr__real.cuMemExportToShareableHandle(shareable, handle, type, flags);
		if (result == CUDA_SUCCESS)
			ccr__shared_add(CCR__EXPORTED_HANDLE, handle);
	}
	ccr__memory_unlock();
	return result;
}

CUresult ccr__wrap_cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle,
						  void *os_handle, CUmemAllocationHandleType type)
{
	const CUresult result = ccr__real.cuMemImportFromShareableHandle(handle, os_handle, type);
	struct ccr__phys *phys = NULL;

	if (result != CUDA_SUCCESS)
		return result;
	ccr__memory_lock();
	if (type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		phys = ccr__kept_import(*handle, (int)(intptr_t)os_handle);
	if (phys)
		*handle = ccr__phys_to_app(phys);
	else
		ccr__shared_add(CCR__IMPORTED_HANDLE, *handle);
	ccr__memory_unlock();
	return result;
}

CUresult ccr__wrap_cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
							  CUmemGenericAllocationHandle handle)
{
	struct ccr__phys *phys;
	CUresult result;

	ccr__memory_lock();
	phys = ccr__phys_from_app(handle);
	result = ccr__real.cuMemGetAllocationPropertiesFromHandle(prop,
								  phys ? phys->handle : handle);
	if (phys && result == CUDA_SUCCESS)
		prop->requestedHandleTypes = phys->asked;
	ccr__memory_unlock();
	return result;
}

CUresult ccr__wrap_cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct ccr__mapping *m;

	ccr__memory_lock();
	m = ccr__is_active() ? ccr__mapping_at((uintptr_t)addr) : NULL;
	if (m && !m->is_alloc && handle) {
		m->phys->app_refs++;
		*handle = ccr__phys_to_app(m->phys);
		result = CUDA_SUCCESS;
	}
	if (!m) {
		result = ccr__real.cuMemRetainAllocationHandle(handle, addr);
		if (result == CUDA_SUCCESS)
			ccr__shared_retained(*handle, (uintptr_t)addr);
	}
	ccr__memory_unlock();
	return result;
}
