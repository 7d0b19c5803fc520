// SPDX-License-Identifier: MIT
// Memory shared between processes (CUDA IPC) and devices (multicast). An IPC handle names an
// allocation by its range in the device's file, whatever address in it the handle was made from. A
// multicast object checks what is bound to it and has no effect.
#include "softcuda/impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IPC_MAGIC	 0x43504943u
#define LAZY_PEER_ACCESS 1u // CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS

struct ipc {
	uint32_t magic;
	int32_t pid, number;
	uint64_t offset, size; // of the block, in the device's file
	uint64_t at;	       // of the allocation, in the block
};

_Static_assert(sizeof(struct ipc) <= sizeof(CUipcMemHandle), "room in the handle");

CUresult SOFT(cuIpcGetMemHandle)(CUipcMemHandle *handle, CUdeviceptr dptr)
{
	const struct ccr_mapping *block;
	const struct ccr_range *alloc;
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct ipc ipc = {.magic = IPC_MAGIC, .pid = getpid()};

	if (!handle)
		return result;
	ccr_mem_lock();
	alloc = ccr_table_find(&ccr_allocs, dptr);
	block = alloc ? ccr_table_find(&ccr_mappings, dptr) : NULL;
	if (block && !block->phys->is_imported) {
		ipc.number = ccr_backings[block->phys->device].number;
		ipc.offset = block->phys->offset;
		ipc.size = block->range.size;
		ipc.at = alloc->base - block->range.base;
		*handle = (CUipcMemHandle){{0}};
		memcpy(handle, &ipc, sizeof(ipc));
		result = CUDA_SUCCESS;
	}
	ccr_mem_unlock();
	return result;
}

static int device_of(const struct ipc *ipc)
{
	for (int i = 0; i < ccr_soft_settings()->nr_devices; i++)
		if (ccr_backing_open(i) == CUDA_SUCCESS && ccr_backings[i].number == ipc->number)
			return i;
	return -1;
}

static void enable_peer(struct ccr_ctx *ctx, int device)
{
	if (device == ctx->device || ctx->peers & 1u << device)
		return;
	ccr_peer_change(ctx->device, device, 1);
	ctx->peers |= 1u << device;
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
	phys->ipc_refs = 1;
	return ccr_va_set_access(*base, ipc->size, device, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
out_reserved:
	ccr_va_free(*base, ipc->size);
out_phys:
	ccr_phys_put(phys);
	return result;
}

// A block that is open already is mapped once and counted.
static struct ccr_mapping *find_open(const struct ipc *ipc, int device)
{
	for (size_t i = 0; i < ccr_mappings.count; i++) {
		struct ccr_mapping *block = ccr_table_at(&ccr_mappings, i);

		if (block->phys->ipc_refs && block->phys->device == device &&
		    block->phys->offset == ipc->offset && block->range.size == ipc->size)
			return block;
	}
	return NULL;
}

static CUresult open_locked(CUdeviceptr *base, const struct ipc *ipc, struct ccr_ctx *ctx,
			    unsigned int flags)
{
	const int device = device_of(ipc);
	CUresult result = CUDA_SUCCESS;
	struct ccr_mapping *block;

	if (device < 0 || (device != ctx->device && flags != LAZY_PEER_ACCESS))
		return CUDA_ERROR_INVALID_DEVICE;
	block = find_open(ipc, device);
	if (block) {
		block->phys->ipc_refs++;
		*base = block->range.base;
	} else {
		result = map_locked(base, ipc, device);
	}
	if (result == CUDA_SUCCESS)
		enable_peer(ctx, device);
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
	if (!dptr || flags > LAZY_PEER_ACCESS || ipc.magic != IPC_MAGIC)
		return CUDA_ERROR_INVALID_VALUE;
	if (ipc.pid == getpid())
		return CUDA_ERROR_INVALID_CONTEXT;
	ccr_mem_lock();
	result = open_locked(dptr, &ipc, ctx, flags);
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
	if (block && block->phys->ipc_refs) {
		const struct ccr_range range = block->range;

		result = CUDA_SUCCESS;
		if (!--block->phys->ipc_refs) {
			result = ccr_va_unmap(range.base, range.size);
			if (result == CUDA_SUCCESS)
				result = ccr_va_free(range.base, range.size);
		}
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
