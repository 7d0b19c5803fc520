// SPDX-License-Identifier: MIT
/*
 * Memory that the program shares with other processes and devices. What it takes
 * from others is counted. Its own memory that others use cannot be moved: we
 * exclude the allocation, and the driver keeps it.
 */
#include "intercept/calls/calls.h"
#include "intercept/records/records.h"
#include "intercept/records/shared.h"

#include <stdbool.h>

static void note_added(enum ccr__shared_kind kind, uint64_t key)
{
	ccr__memory_lock();
	ccr__shared_add(kind, key);
	ccr__memory_unlock();
}

static CUresult note_dropped(CUresult result, enum ccr__shared_kind kind, uint64_t key)
{
	if (result == CUDA_SUCCESS) {
		ccr__memory_lock();
		ccr__shared_drop(kind, key);
		ccr__memory_unlock();
	}
	return result;
}

/* --- pools, external memory, endpoints --- */

CUresult ccr__wrap_cuMemPoolImportFromShareableHandle(CUmemoryPool *pool, void *handle,
						      CUmemAllocationHandleType type,
						      unsigned long long flags)
{
	const CUresult result =
		ccr__real.cuMemPoolImportFromShareableHandle(pool, handle, type, flags);

	if (result == CUDA_SUCCESS)
		note_added(CCR__IMPORTED_POOL, (uintptr_t)*pool);
	return result;
}

CUresult ccr__wrap_cuMemPoolDestroy(CUmemoryPool pool)
{
	return note_dropped(ccr__real.cuMemPoolDestroy(pool), CCR__IMPORTED_POOL, (uintptr_t)pool);
}

CUresult ccr__wrap_cuImportExternalMemory(CUexternalMemory *memory,
					  const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *desc)
{
	const CUresult result = ccr__real.cuImportExternalMemory(memory, desc);

	if (result == CUDA_SUCCESS)
		note_added(CCR__IMPORTED_EXTERNAL, (uintptr_t)*memory);
	return result;
}

CUresult ccr__wrap_cuDestroyExternalMemory(CUexternalMemory memory)
{
	return note_dropped(ccr__real.cuDestroyExternalMemory(memory), CCR__IMPORTED_EXTERNAL,
			    (uintptr_t)memory);
}

CUresult ccr__wrap_cuLogicalEndpointImport(CUlogicalEndpointId endpoint, const void *handle,
					   CUlogicalEndpointIpcHandleType type)
{
	const CUresult result = ccr__real.cuLogicalEndpointImport(endpoint, handle, type);

	if (result == CUDA_SUCCESS)
		note_added(CCR__IMPORTED_ENDPOINT, endpoint);
	return result;
}

CUresult ccr__wrap_cuLogicalEndpointDestroy(CUlogicalEndpointId endpoint)
{
	return note_dropped(ccr__real.cuLogicalEndpointDestroy(endpoint), CCR__IMPORTED_ENDPOINT,
			    endpoint);
}

/* --- uses that prevent us from moving an allocation --- */

static CUresult exclude_range(CUresult result, CUdeviceptr ptr, size_t size, const char *why)
{
	if (result != CUDA_SUCCESS || !ccr__is_active())
		return result;
	ccr__memory_lock();
	for (size_t i = ccr__mapping_after(ptr); i < ccr__memory.nr_mappings; i++) {
		if (ccr__memory.mappings[i]->base >= ptr + size)
			break;
		ccr__phys_exclude(ccr__memory.mappings[i]->phys, why);
	}
	ccr__memory_unlock();
	return result;
}

CUresult ccr__wrap_cuMemGetHandleForAddressRange(void *handle, CUdeviceptr dptr, size_t size,
						 CUmemRangeHandleType type,
						 unsigned long long flags)
{
	return exclude_range(
		ccr__real.cuMemGetHandleForAddressRange(handle, dptr, size, type, flags), dptr,
		size, "it is shared with another device");
}

/* Calls the driver with its own handle, and excludes the allocation if that works. */
#define BIND(call, why)                       \
	struct ccr__phys *phys;               \
	CUresult result;                      \
                                              \
	ccr__memory_lock();                   \
	phys = ccr__phys_from_app(handle);    \
	if (phys)                             \
		handle = phys->handle;        \
	result = call;                        \
	if (phys && result == CUDA_SUCCESS)   \
		ccr__phys_exclude(phys, why); \
	ccr__memory_unlock();                 \
	return result;

#define MULTICAST "it is bound to a multicast object"
#define ENDPOINT  "it is bound to a logical endpoint"

CUresult ccr__wrap_cuMulticastCreate(CUmemGenericAllocationHandle *mc,
				     const CUmulticastObjectProp *prop)
{
	const CUresult result = ccr__real.cuMulticastCreate(mc, prop);

	if (result == CUDA_SUCCESS)
		note_added(CCR__MULTICAST, *mc);
	return result;
}

CUresult ccr__wrap_cuMulticastBindMem(CUmemGenericAllocationHandle mc, size_t mc_offset,
				      CUmemGenericAllocationHandle handle, size_t offset,
				      size_t size, unsigned long long flags){
	BIND(ccr__real.cuMulticastBindMem(mc, mc_offset, handle, offset, size, flags), MULTICAST)}

CUresult ccr__wrap_cuMulticastBindMem_v2(CUmemGenericAllocationHandle mc, CUdevice dev,
					 size_t mc_offset, CUmemGenericAllocationHandle handle,
					 size_t offset, size_t size, unsigned long long flags){
	BIND(ccr__real.cuMulticastBindMem_v2(mc, dev, mc_offset, handle, offset, size, flags),
	     MULTICAST)}

CUresult ccr__wrap_cuLogicalEndpointBindMem(CUlogicalEndpointId endpoint, CUdevice dev,
					    cuuint64_t offset, CUmemGenericAllocationHandle handle,
					    cuuint64_t mem_offset, cuuint64_t size,
					    unsigned long long flags){
	BIND(ccr__real.cuLogicalEndpointBindMem(endpoint, dev, offset, handle, mem_offset, size,
						flags),
	     ENDPOINT)}

CUresult ccr__wrap_cuMulticastBindAddr(CUmemGenericAllocationHandle mc, size_t mc_offset,
				       CUdeviceptr dptr, size_t size, unsigned long long flags)
{
	return exclude_range(ccr__real.cuMulticastBindAddr(mc, mc_offset, dptr, size, flags), dptr,
			     size, MULTICAST);
}

CUresult ccr__wrap_cuMulticastBindAddr_v2(CUmemGenericAllocationHandle mc, CUdevice dev,
					  size_t mc_offset, CUdeviceptr dptr, size_t size,
					  unsigned long long flags)
{
	return exclude_range(
		ccr__real.cuMulticastBindAddr_v2(mc, dev, mc_offset, dptr, size, flags), dptr, size,
		MULTICAST);
}

CUresult ccr__wrap_cuLogicalEndpointBindAddr(CUlogicalEndpointId endpoint, CUdevice dev,
					     cuuint64_t offset, void *ptr, cuuint64_t size,
					     unsigned long long flags)
{
	return exclude_range(
		ccr__real.cuLogicalEndpointBindAddr(endpoint, dev, offset, ptr, size, flags),
		(uintptr_t)ptr, size, ENDPOINT);
}
