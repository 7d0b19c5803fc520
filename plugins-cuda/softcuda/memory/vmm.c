// SPDX-License-Identifier: MIT
// Virtual memory management: reservations, allocation handles, mappings, sharing by descriptor.
#include "softcuda/impl.h"

static bool prop_is_valid(const CUmemAllocationProp *prop)
{
	return prop && prop->type == CU_MEM_ALLOCATION_TYPE_PINNED &&
	       prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE && prop->location.id >= 0 &&
	       prop->location.id < ccr_soft_settings()->nr_devices && !prop->win32HandleMetaData;
}

CUresult SOFT(cuMemGetAllocationGranularity)(size_t *granularity, const CUmemAllocationProp *prop,
					     CUmemAllocationGranularity_flags option)
{
	if (!granularity || !prop_is_valid(prop) ||
	    (unsigned int)option > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)
		return CUDA_ERROR_INVALID_VALUE;
	*granularity = CCR_PAGE_2M;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuMemAddressReserve)(CUdeviceptr *ptr, size_t size, size_t alignment,
				   CUdeviceptr addr, unsigned long long flags)
{
	CUresult result;

	if (!ptr || !size || size % CCR_PAGE_2M || flags || (alignment & (alignment - 1)))
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	result = ccr_va_reserve(ptr, size, alignment, addr, false);
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuMemAddressFree)(CUdeviceptr ptr, size_t size)
{
	CUresult result;

	ccr_take_begin();
	ccr_mem_lock();
	result = ccr_va_free(ptr, size);
	ccr_mem_unlock();
	ccr_take_end();
	return result;
}

// Gives the program another reference; creates the handle if there is none.
static CUresult give_handle(CUmemGenericAllocationHandle *handle, struct ccr_phys *phys)
{
	if (!phys->handle_refs)
		phys->handle = ccr_handle_new(CCR_HANDLE_MEMORY, phys);
	if (!phys->handle)
		return CUDA_ERROR_OUT_OF_MEMORY;
	phys->handle_refs++;
	*handle = phys->handle;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuMemCreate)(CUmemGenericAllocationHandle *handle, size_t size,
			   const CUmemAllocationProp *prop, unsigned long long flags)
{
	struct ccr_phys *phys;
	CUresult result;

	if (!handle || !size || size % CCR_PAGE_2M || flags || !prop_is_valid(prop))
		return CUDA_ERROR_INVALID_VALUE;
	if (prop->requestedHandleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (size > ccr_soft_settings()->memory_bytes)
		return CUDA_ERROR_OUT_OF_MEMORY;
	ccr_mem_lock();
	result = ccr_phys_new(&phys, prop, size);
	if (result == CUDA_SUCCESS) {
		result = give_handle(handle, phys);
		if (result != CUDA_SUCCESS)
			ccr_phys_put(phys);
	}
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuMemRelease)(CUmemGenericAllocationHandle handle)
{
	struct ccr_phys *phys;

	ccr_mem_lock();
	phys = ccr_handle_get(CCR_HANDLE_MEMORY, handle);
	if (phys && !--phys->handle_refs) {
		ccr_handle_drop(handle);
		phys->handle = 0;
		ccr_phys_put(phys);
	}
	ccr_mem_unlock();
	return phys || ccr_multicast_release(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult SOFT(cuMemMap)(CUdeviceptr ptr, size_t size, size_t offset,
			CUmemGenericAllocationHandle handle, unsigned long long flags)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct ccr_phys *phys;

	if (!size || ptr % CCR_PAGE_2M || size % CCR_PAGE_2M || flags)
		return CUDA_ERROR_INVALID_VALUE;
	// CUDA reserves the offset for later use.
	if (offset)
		return CUDA_ERROR_NOT_SUPPORTED;
	ccr_mem_lock();
	phys = ccr_handle_get(CCR_HANDLE_MEMORY, handle);
	if (phys && size <= phys->size)
		result = ccr_va_map(ptr, size, phys, offset, false);
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuMemUnmap)(CUdeviceptr ptr, size_t size)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	const struct ccr_mapping *mapping;

	ccr_queue_wait_context(NULL);
	ccr_take_begin();
	ccr_mem_lock();
	mapping = ccr_table_find(&ccr_mappings, ptr);
	if (mapping && !mapping->is_internal)
		result = ccr_va_unmap(ptr, size);
	ccr_mem_unlock();
	ccr_take_end();
	return result;
}

CUresult SOFT(cuMemSetAccess)(CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc,
			      size_t count)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	const struct ccr_mapping *mapping;
	bool takes = false;

	if (!desc || !count)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		takes |= desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
		if (desc[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
		    desc[i].location.id < 0 ||
		    desc[i].location.id >= ccr_soft_settings()->nr_devices ||
		    (desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE &&
		     desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READ &&
		     desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE))
			return CUDA_ERROR_INVALID_VALUE;
	}
	// Granting access does not wait for submitted work; revoking it does.
	if (takes) {
		ccr_queue_wait_context(NULL);
		ccr_take_begin();
	}
	ccr_mem_lock();
	mapping = ccr_table_find(&ccr_mappings, ptr);
	if (mapping && !mapping->is_internal)
		for (size_t i = 0; i < count; i++) {
			result = ccr_va_set_access(ptr, size, desc[i].location.id, desc[i].flags);
			if (result != CUDA_SUCCESS)
				break;
		}
	ccr_mem_unlock();
	if (takes)
		ccr_take_end();
	return result;
}

CUresult SOFT(cuMemGetAccess)(unsigned long long *flags, const CUmemLocation *location,
			      CUdeviceptr ptr)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	const struct ccr_mapping *mapping;

	if (!flags || !location || location->type != CU_MEM_LOCATION_TYPE_DEVICE ||
	    location->id < 0 || location->id >= ccr_soft_settings()->nr_devices)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	mapping = ccr_table_find(&ccr_mappings, ptr);
	if (mapping) {
		*flags = mapping->access[location->id];
		result = CUDA_SUCCESS;
	}
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuMemExportToShareableHandle)(void *shareable, CUmemGenericAllocationHandle handle,
					    CUmemAllocationHandleType type,
					    unsigned long long flags)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct ccr_phys *phys;

	if (!shareable || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || flags)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	phys = ccr_handle_get(CCR_HANDLE_MEMORY, handle);
	// As on hardware: only for memory that was created exportable, and never for imported
	// memory.
	if (phys && phys->fd >= 0 && !phys->is_imported)
		result = ccr_phys_export(phys, shareable);
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuMemImportFromShareableHandle)(CUmemGenericAllocationHandle *handle, void *os_handle,
					      CUmemAllocationHandleType type)
{
	struct ccr_phys *phys;
	CUresult result;

	if (!handle || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	result = ccr_phys_import(&phys, (int)(intptr_t)os_handle);
	if (result == CUDA_SUCCESS) {
		result = give_handle(handle, phys);
		if (result != CUDA_SUCCESS)
			ccr_phys_put(phys);
	}
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuMemGetAllocationPropertiesFromHandle)(CUmemAllocationProp *prop,
						      CUmemGenericAllocationHandle handle)
{
	const struct ccr_phys *phys;

	if (!prop)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	phys = ccr_handle_get(CCR_HANDLE_MEMORY, handle);
	if (phys)
		*prop = phys->prop;
	ccr_mem_unlock();
	return phys ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult SOFT(cuMemRetainAllocationHandle)(CUmemGenericAllocationHandle *handle, void *addr)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	const struct ccr_mapping *mapping;

	if (!handle)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	mapping = ccr_table_find(&ccr_mappings, (CUdeviceptr)(uintptr_t)addr);
	if (mapping && !mapping->is_internal)
		result = give_handle(handle, mapping->phys);
	ccr_mem_unlock();
	return result;
}
