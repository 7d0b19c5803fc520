// SPDX-License-Identifier: MIT
// Memory shared between processes (CUDA IPC) and devices (multicast). An IPC handle names the range
// in the device's file. A multicast object checks what is bound to it and has no effect.
#include "softcuda/impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IPC_MAGIC 0x43504943u

struct ipc {
	uint32_t magic;
	int32_t pid, number;
	uint64_t offset, size; // of the block, in the device's file
	uint64_t at;	       // of the memory, in the block
};

_Static_assert(sizeof(struct ipc) <= sizeof(CUipcMemHandle), "room in the handle");

CUresult SOFT(cuIpcGetMemHandle)(CUipcMemHandle *handle, CUdeviceptr dptr)
{
	const struct ccr_mapping *block;
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct ipc ipc = {.magic = IPC_MAGIC, .pid = getpid()};

	if (!handle)
		return result;
	ccr_mem_lock();
	block = ccr_table_find(&ccr_allocs, dptr) ? ccr_table_find(&ccr_mappings, dptr) : NULL;
	if (block && !block->phys->is_imported) {
		ipc.number = ccr_backings[block->phys->device].number;
		ipc.offset = block->phys->offset;
		ipc.size = block->range.size;
		ipc.at = dptr - block->range.base;
		*handle = (CUipcMemHandle){{0}};
		memcpy(handle, &ipc, sizeof(ipc));
		result = CUDA_SUCCESS;
	}
	ccr_mem_unlock();
	return result;
}

static CUresult map_locked(CUdeviceptr *base, const struct ipc *ipc, int device)
{
	struct ccr_phys *phys;
	CUresult result = ccr_phys_import_range(&phys, device, ipc->offset, ipc->size);

	if (result != CUDA_SUCCESS)
		return result;
	result = ccr_va_reserve(base, ipc->size, CCR_PAGE_2M, 0, true);
	if (result != CUDA_SUCCESS)
		goto out_phys;
	result = ccr_va_map(*base, ipc->size, phys, 0, true);
	if (result != CUDA_SUCCESS)
		goto out_reserved;
	return ccr_va_set_access(*base, ipc->size, device, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
out_reserved:
	ccr_va_free(*base, ipc->size);
out_phys:
	ccr_phys_put(phys);
	return result;
}

CUresult SOFT(cuIpcOpenMemHandle_v2)(CUdeviceptr *dptr, CUipcMemHandle handle, unsigned int flags)
{
	struct ccr_ctx *ctx;
	CUresult result = ccr_ctx_current(&ctx);
	struct ipc ipc;

	if (result != CUDA_SUCCESS)
		return result;
	memcpy(&ipc, &handle, sizeof(ipc));
	if (!dptr || flags > 1 || ipc.magic != IPC_MAGIC)
		return CUDA_ERROR_INVALID_VALUE;
	if (ipc.pid == getpid())
		return CUDA_ERROR_INVALID_CONTEXT;
	if (ipc.number != ccr_backings[ctx->device].number)
		return CUDA_ERROR_INVALID_DEVICE;
	ccr_mem_lock();
	result = map_locked(dptr, &ipc, ctx->device);
	ccr_mem_unlock();
	if (result == CUDA_SUCCESS)
		*dptr += ipc.at;
	return result;
}

CUresult SOFT(cuIpcCloseMemHandle)(CUdeviceptr dptr)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	const struct ccr_mapping *block;

	ccr_queue_wait_context(NULL);
	ccr_take_begin();
	ccr_mem_lock();
	block = ccr_table_find(&ccr_mappings, dptr);
	if (block && block->is_internal && block->phys->is_imported) {
		const struct ccr_range range = block->range;

		result = ccr_va_unmap(range.base, range.size);
		if (result == CUDA_SUCCESS)
			result = ccr_va_free(range.base, range.size);
	}
	ccr_mem_unlock();
	ccr_take_end();
	return result;
}

// --- multicast ---

struct multicast {
	uint64_t handle;
	CUmulticastObjectProp prop;
};

static bool is_device(CUdevice dev)
{
	return dev >= 0 && dev < ccr_soft_settings()->nr_devices;
}

CUresult SOFT(cuMulticastCreate)(CUmemGenericAllocationHandle *mc,
				 const CUmulticastObjectProp *prop)
{
	struct multicast *made;

	if (!mc || !prop || !prop->numDevices || !prop->size || prop->size % CCR_PAGE_2M)
		return CUDA_ERROR_INVALID_VALUE;
	made = calloc(1, sizeof(*made));
	if (!made)
		return CUDA_ERROR_OUT_OF_MEMORY;
	made->prop = *prop;
	made->handle = ccr_handle_new(CCR_HANDLE_MULTICAST, made);
	if (!made->handle) {
		free(made);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*mc = made->handle;
	return CUDA_SUCCESS;
}

// cuMemRelease of a multicast object.
bool ccr_multicast_release(CUmemGenericAllocationHandle mc)
{
	struct multicast *object = ccr_handle_get(CCR_HANDLE_MULTICAST, mc);

	if (!object)
		return false;
	ccr_handle_drop(mc);
	free(object);
	return true;
}

CUresult SOFT(cuMulticastAddDevice)(CUmemGenericAllocationHandle mc, CUdevice dev)
{
	return ccr_handle_get(CCR_HANDLE_MULTICAST, mc) && is_device(dev)
		       ? CUDA_SUCCESS
		       : CUDA_ERROR_INVALID_VALUE;
}

static bool fits(CUmemGenericAllocationHandle mc, size_t mc_offset, size_t size)
{
	const struct multicast *object = ccr_handle_get(CCR_HANDLE_MULTICAST, mc);

	return object && size && mc_offset % CCR_PAGE_2M == 0 && size % CCR_PAGE_2M == 0 &&
	       mc_offset <= object->prop.size && size <= object->prop.size - mc_offset;
}

CUresult SOFT(cuMulticastBindMem)(CUmemGenericAllocationHandle mc, size_t mc_offset,
				  CUmemGenericAllocationHandle handle, size_t offset, size_t size,
				  unsigned long long flags)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	const struct ccr_phys *phys;

	ccr_mem_lock();
	phys = ccr_handle_get(CCR_HANDLE_MEMORY, handle);
	if (phys && !flags && fits(mc, mc_offset, size) && offset <= phys->size &&
	    size <= phys->size - offset)
		result = CUDA_SUCCESS;
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuMulticastBindMem_v2)(CUmemGenericAllocationHandle mc, CUdevice dev,
				     size_t mc_offset, CUmemGenericAllocationHandle handle,
				     size_t offset, size_t size, unsigned long long flags)
{
	return is_device(dev) ? SOFT(cuMulticastBindMem)(mc, mc_offset, handle, offset, size, flags)
			      : CUDA_ERROR_INVALID_DEVICE;
}

CUresult SOFT(cuMulticastBindAddr)(CUmemGenericAllocationHandle mc, size_t mc_offset,
				   CUdeviceptr dptr, size_t size, unsigned long long flags)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	const struct ccr_mapping *mapping;

	ccr_mem_lock();
	mapping = ccr_table_find(&ccr_mappings, dptr);
	if (mapping && !flags && fits(mc, mc_offset, size) &&
	    size <= mapping->range.base + mapping->range.size - dptr)
		result = CUDA_SUCCESS;
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuMulticastBindAddr_v2)(CUmemGenericAllocationHandle mc, CUdevice dev,
				      size_t mc_offset, CUdeviceptr dptr, size_t size,
				      unsigned long long flags)
{
	return is_device(dev) ? SOFT(cuMulticastBindAddr)(mc, mc_offset, dptr, size, flags)
			      : CUDA_ERROR_INVALID_DEVICE;
}
