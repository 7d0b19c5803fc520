// SPDX-License-Identifier: MIT
// cuMemAlloc and related calls. As in the hardware driver, small allocations share 2 MiB blocks and
// large ones are rounded up to whole blocks. mem_lock guards the tables.
#include "softcuda/softcuda.h"
#include "softcuda/api.h"
#include "softcuda/impl.h"

#include <stdlib.h>

#define SMALL_LIMIT (1 * CCR_MIB)
#define SMALL_ALIGN 512ull

static CUresult new_block(CUdeviceptr *base, uint64_t size, const struct ccr_ctx *ctx)
{
	CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
				    .location = {CU_MEM_LOCATION_TYPE_DEVICE, ctx->device}};
	struct ccr_phys *phys;
	CUresult result = ccr_phys_new(&phys, &prop, size);

	if (result != CUDA_SUCCESS)
		return result;
	result = ccr_va_reserve(base, size, CCR_PAGE_2M, 0, true);
	if (result != CUDA_SUCCESS)
		goto out_phys;
	result = ccr_va_map(*base, size, phys, 0, true);
	if (result != CUDA_SUCCESS)
		goto out_reserved;
	result = ccr_va_set_access(*base, size, ctx->device, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	if (result == CUDA_SUCCESS)
		return result;
	ccr_va_unmap(*base, size);
	ccr_va_free(*base, size);
	return result;
out_reserved:
	ccr_va_free(*base, size);
out_phys:
	ccr_phys_put(phys);
	return result;
}

// A gap for a small allocation in a block of this context; 0 if there is none.
static CUdeviceptr find_gap(const struct ccr_ctx *ctx, uint64_t size)
{
	for (size_t i = 0; i < ccr_mappings.count; i++) {
		const struct ccr_mapping *block = ccr_table_at(&ccr_mappings, i);
		CUdeviceptr at = block->range.base, end = at + CCR_PAGE_2M;
		size_t next = ccr_table_after(&ccr_allocs, at);
		const struct ccr_alloc *alloc;

		if (!block->is_internal || block->range.size != CCR_PAGE_2M)
			continue;
		alloc = next < ccr_allocs.count ? ccr_table_at(&ccr_allocs, next) : NULL;
		if (!alloc || alloc->range.base >= end || alloc->ctx != ctx ||
		    alloc->range.size >= SMALL_LIMIT)
			continue;
		for (; next < ccr_allocs.count; next++) {
			alloc = ccr_table_at(&ccr_allocs, next);
			if (alloc->range.base >= at + size || alloc->range.base >= end)
				break;
			at = ccr_round_up(alloc->range.base + alloc->range.size, SMALL_ALIGN);
		}
		if (at + size <= end)
			return at;
	}
	return 0;
}

static void free_block_of(CUdeviceptr addr)
{
	const struct ccr_mapping *block = ccr_table_find(&ccr_mappings, addr);
	struct ccr_range range = block->range;
	size_t next = ccr_table_after(&ccr_allocs, range.base);
	const struct ccr_range *other =
		next < ccr_allocs.count ? ccr_table_at(&ccr_allocs, next) : NULL;

	if (other && other->base < range.base + range.size)
		return;
	ccr_va_unmap(range.base, range.size);
	ccr_va_free(range.base, range.size);
}

static CUresult allocate(CUdeviceptr *out, uint64_t size, struct ccr_ctx *ctx)
{
	struct ccr_alloc alloc = {.id = ccr_next_id(), .ctx = ctx, .range.size = size};
	CUresult result;

	if (size < SMALL_LIMIT)
		alloc.range.base = find_gap(ctx, size);
	if (!alloc.range.base) {
		result = new_block(&alloc.range.base, ccr_round_up(size, CCR_PAGE_2M), ctx);
		if (result != CUDA_SUCCESS)
			return result;
	}
	if (!ccr_table_insert(&ccr_allocs, &alloc)) {
		free_block_of(alloc.range.base);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*out = alloc.range.base;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuMemAlloc_v2)(CUdeviceptr *dptr, size_t bytes)
{
	struct ccr_ctx *ctx;
	CUresult result = ccr_ctx_current(&ctx);

	if (result != CUDA_SUCCESS)
		return result;
	if (!dptr || !bytes)
		return CUDA_ERROR_INVALID_VALUE;
	if (bytes > ccr_soft_settings()->memory_bytes)
		return CUDA_ERROR_OUT_OF_MEMORY;
	ccr_mem_lock();
	result = allocate(dptr, bytes, ctx);
	ccr_mem_unlock();
	return result;
}

CUresult SOFT(cuMemAllocPitch_v2)(CUdeviceptr *dptr, size_t *pitch, size_t width, size_t height,
				  unsigned int element)
{
	CUresult result;
	size_t row = ccr_round_up(width, SMALL_ALIGN);

	if (!pitch || !width || !height || row < width || height > SIZE_MAX / row ||
	    (element != 4 && element != 8 && element != 16))
		return CUDA_ERROR_INVALID_VALUE;
	result = SOFT(cuMemAlloc_v2)(dptr, row * height);
	if (result == CUDA_SUCCESS)
		*pitch = row;
	return result;
}

CUresult SOFT(cuMemFree_v2)(CUdeviceptr dptr)
{
	CUresult result = CUDA_SUCCESS;
	const struct ccr_range *range;
	struct ccr_ctx *ctx;

	result = ccr_ctx_current(&ctx);
	if (result != CUDA_SUCCESS || !dptr)
		return result;
	// Wait for work that may still use the memory.
	ccr_queue_wait_context(NULL);
	ccr_take_begin();
	ccr_mem_lock();
	range = ccr_table_find(&ccr_allocs, dptr);
	if (range && range->base == dptr) {
		ccr_table_remove(&ccr_allocs, ccr_table_after(&ccr_allocs, dptr));
		free_block_of(dptr);
	} else {
		result = CUDA_ERROR_INVALID_VALUE;
	}
	ccr_mem_unlock();
	ccr_take_end();
	return result;
}

void ccr_memory_free_context(struct ccr_ctx *ctx)
{
	ccr_take_begin();
	ccr_mem_lock();
	for (size_t i = ccr_allocs.count; i-- > 0;) {
		struct ccr_alloc alloc = *(struct ccr_alloc *)ccr_table_at(&ccr_allocs, i);

		if (alloc.ctx != ctx)
			continue;
		ccr_table_remove(&ccr_allocs, i);
		free_block_of(alloc.range.base);
	}
	ccr_mem_unlock();
	ccr_take_end();
}

CUresult SOFT(cuMemGetInfo_v2)(size_t *free_bytes, size_t *total_bytes)
{
	uint64_t used = 0, total = ccr_soft_settings()->memory_bytes;
	struct ccr_ctx *ctx;
	CUresult result = ccr_ctx_current(&ctx);

	if (result != CUDA_SUCCESS)
		return result;
	ccr_mem_lock();
	result = ccr_backing_used(ctx->device, &used);
	ccr_mem_unlock();
	if (result != CUDA_SUCCESS)
		return result;
	if (free_bytes)
		*free_bytes = used < total ? total - used : 0;
	if (total_bytes)
		*total_bytes = total;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuMemGetAddressRange_v2)(CUdeviceptr *base, size_t *size, CUdeviceptr dptr)
{
	const struct ccr_range *range;
	struct ccr_range found = {0};

	ccr_mem_lock();
	range = ccr_table_find(&ccr_allocs, dptr);
	if (!range)
		range = ccr_table_find(&ccr_hosts, dptr);
	if (!range) {
		const struct ccr_mapping *mapping = ccr_table_find(&ccr_mappings, dptr);

		range = mapping && !mapping->is_internal ? &mapping->range : NULL;
	}
	if (range)
		found = *range;
	ccr_mem_unlock();
	if (!found.size)
		return CUDA_ERROR_NOT_FOUND;
	if (base)
		*base = found.base;
	if (size)
		*size = found.size;
	return CUDA_SUCCESS;
}
