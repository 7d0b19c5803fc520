// SPDX-License-Identifier: MIT
// Pointer attributes: what the program may ask about an address.
#include "softcuda/impl.h"

struct about {
	CUmemorytype type;
	int device;
	struct ccr_range range, mapping;
	struct ccr_ctx *ctx;
	uint64_t id, block_id;
	unsigned int handle_types;
	int access;
};

static bool look_up(CUdeviceptr ptr, struct about *about)
{
	const struct ccr_alloc *alloc = ccr_table_find(&ccr_allocs, ptr);
	const struct ccr_host *host = ccr_table_find(&ccr_hosts, ptr);
	const struct ccr_mapping *mapping = ccr_table_find(&ccr_mappings, ptr);

	*about = (struct about){0};
	if (host) {
		about->type = CU_MEMORYTYPE_HOST;
		about->ctx = host->ctx;
		about->device = host->ctx->device;
		about->range = about->mapping = host->range;
		about->id = about->block_id = host->id;
		about->access = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
		return true;
	}
	if (!mapping || (mapping->is_internal && !alloc))
		return false;
	about->type = CU_MEMORYTYPE_DEVICE;
	about->device = mapping->phys->device;
	about->range = alloc ? alloc->range : mapping->range;
	about->mapping = mapping->range;
	about->ctx = alloc ? alloc->ctx : NULL;
	about->id = alloc ? alloc->id : mapping->phys->id;
	about->block_id = mapping->phys->id;
	about->handle_types = (unsigned int)mapping->phys->prop.requestedHandleTypes;
	about->access = mapping->access[about->device];
	return true;
}

static CUresult give(void *data, CUpointer_attribute attribute, CUdeviceptr ptr,
		     const struct about *about)
{
	switch (attribute) {
	case CU_POINTER_ATTRIBUTE_CONTEXT:
		*(CUcontext *)data = about->ctx ? (CUcontext)(uintptr_t)about->ctx->handle : NULL;
		break;
	case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
		*(unsigned int *)data = about->type;
		break;
	case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
		*(CUdeviceptr *)data = ptr;
		break;
	case CU_POINTER_ATTRIBUTE_HOST_POINTER:
		if (about->type != CU_MEMORYTYPE_HOST)
			return CUDA_ERROR_INVALID_VALUE;
		*(void **)data = (void *)(uintptr_t)ptr;
		break;
	case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
	case CU_POINTER_ATTRIBUTE_IS_MANAGED:
	case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
	case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
		*(unsigned char *)data = 0;
		break;
	case CU_POINTER_ATTRIBUTE_BUFFER_ID:
		*(unsigned long long *)data = about->id;
		break;
	case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
		*(unsigned long long *)data = about->block_id;
		break;
	case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
		*(int *)data = about->device;
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
		*(CUdeviceptr *)data = about->range.base;
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
		*(size_t *)data = about->range.size;
		break;
	case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
		*(CUdeviceptr *)data = about->mapping.base;
		break;
	case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
		*(size_t *)data = about->mapping.size;
		break;
	case CU_POINTER_ATTRIBUTE_MAPPED:
		*(unsigned char *)data = 1;
		break;
	case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
		*(unsigned long long *)data = about->handle_types;
		break;
	case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
		*(unsigned int *)data = (unsigned int)about->access;
		break;
	case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
		*(void **)data = NULL;
		break;
	default:
		return CUDA_ERROR_NOT_SUPPORTED;
	}
	return CUDA_SUCCESS;
}

CUresult SOFT(cuPointerGetAttribute)(void *data, CUpointer_attribute attribute, CUdeviceptr ptr)
{
	struct about about;
	bool found;

	if (!data)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	found = look_up(ptr, &about);
	ccr_mem_unlock();
	return found ? give(data, attribute, ptr, &about) : CUDA_ERROR_INVALID_VALUE;
}

// As documented, all values are 0 for an address that CUDA does not know.
CUresult SOFT(cuPointerGetAttributes)(unsigned int count, CUpointer_attribute *attributes,
				      void **data, CUdeviceptr ptr)
{
	struct about about;
	bool found;

	if (!count || !attributes || !data)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	found = look_up(ptr, &about);
	ccr_mem_unlock();
	for (unsigned int i = 0; i < count; i++) {
		CUresult result;

		if (!data[i])
			return CUDA_ERROR_INVALID_VALUE;
		if (attributes[i] == CU_POINTER_ATTRIBUTE_MAPPED && !found) {
			*(unsigned char *)data[i] = 0;
			continue;
		}
		if (!found && attributes[i] == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) {
			*(int *)data[i] = -2;
			continue;
		}
		result = give(data[i], attributes[i], found ? ptr : 0, &about);
		// Device memory has no host address, which is not an error here.
		if (attributes[i] == CU_POINTER_ATTRIBUTE_HOST_POINTER && result != CUDA_SUCCESS)
			*(void **)data[i] = NULL;
		else if (result != CUDA_SUCCESS)
			return result;
	}
	return CUDA_SUCCESS;
}
