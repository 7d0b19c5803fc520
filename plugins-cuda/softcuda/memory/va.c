// SPDX-License-Identifier: MIT
// The device address space: reservations (PROT_NONE anonymous memory) and mappings of physical
// allocations at their device addresses. mem_lock guards the tables; use_lock keeps memory mapped
// while a copy or kernel uses it.
#include "softcuda/softcuda.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#define RESERVED_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static struct {
	pthread_mutex_t lock;
	pthread_rwlock_t use;
	struct ccr_table reservations;
} va = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.use = PTHREAD_RWLOCK_INITIALIZER,
	.reservations = {.item_bytes = sizeof(struct ccr_reservation)},
};

struct ccr_table ccr_mappings = {.item_bytes = sizeof(struct ccr_mapping)};

void ccr_mem_lock(void)
{
	pthread_mutex_lock(&va.lock);
}

void ccr_mem_unlock(void)
{
	pthread_mutex_unlock(&va.lock);
}

void ccr_use_begin(void)
{
	pthread_rwlock_rdlock(&va.use);
}

void ccr_use_end(void)
{
	pthread_rwlock_unlock(&va.use);
}

void ccr_take_begin(void)
{
	pthread_rwlock_wrlock(&va.use);
}

void ccr_take_end(void)
{
	pthread_rwlock_unlock(&va.use);
}

static bool reserve_at(CUdeviceptr base, uint64_t size)
{
	void *want = (void *)(uintptr_t)base;
	void *have = mmap(want, size, PROT_NONE, RESERVED_FLAGS | MAP_FIXED_NOREPLACE, -1, 0);

	if (have == want)
		return true;
	if (have != MAP_FAILED)
		munmap(have, size);
	return false;
}

static bool overlaps(const struct ccr_table *table, CUdeviceptr base, uint64_t size)
{
	size_t index = ccr_table_after(table, base);
	const struct ccr_range *next;

	if (index == table->count)
		return false;
	next = ccr_table_at(table, index);
	return next->base < base + size;
}

// First fit. Skips mappings that are not ours.
static CUdeviceptr reserve_anywhere(uint64_t size, uint64_t align)
{
	CUdeviceptr base = ccr_round_up(CCR_VA_START, align);

	while (base + size <= CCR_VA_END) {
		size_t index = ccr_table_after(&va.reservations, base);
		const struct ccr_range *next = index < va.reservations.count
						       ? ccr_table_at(&va.reservations, index)
						       : NULL;

		if (next && next->base < base + size) {
			base = ccr_round_up(next->base + next->size, align);
			continue;
		}
		if (reserve_at(base, size))
			return base;
		if (errno == ENOMEM)
			return 0;
		base = ccr_round_up(base + 32 * CCR_PAGE_2M, align);
	}
	return 0;
}

CUresult ccr_va_reserve(CUdeviceptr *out, uint64_t size, uint64_t align, CUdeviceptr hint,
			bool is_internal)
{
	struct ccr_reservation item = {.is_internal = is_internal};

	if (align < CCR_PAGE_2M)
		align = CCR_PAGE_2M;
	if (size > CCR_VA_END - CCR_VA_START || (align & (align - 1)) ||
	    align > CCR_VA_END - CCR_VA_START)
		return size > CCR_VA_END - CCR_VA_START ? CUDA_ERROR_OUT_OF_MEMORY
							: CUDA_ERROR_INVALID_VALUE;
	if (hint && !(hint & (align - 1)) && hint >= CCR_VA_START && hint + size <= CCR_VA_END &&
	    !overlaps(&va.reservations, hint, size) && reserve_at(hint, size))
		item.range.base = hint;
	else
		item.range.base = reserve_anywhere(size, align);
	if (!item.range.base)
		return CUDA_ERROR_OUT_OF_MEMORY;
	item.range.size = size;
	if (!ccr_table_insert(&va.reservations, &item)) {
		munmap((void *)(uintptr_t)item.range.base, size);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*out = item.range.base;
	return CUDA_SUCCESS;
}

CUresult ccr_va_free(CUdeviceptr base, uint64_t size)
{
	size_t index = ccr_table_after(&va.reservations, base);
	const struct ccr_range *range;

	if (index == va.reservations.count)
		return CUDA_ERROR_INVALID_VALUE;
	range = ccr_table_at(&va.reservations, index);
	if (range->base != base || range->size != size || overlaps(&ccr_mappings, base, size))
		return CUDA_ERROR_INVALID_VALUE;
	munmap((void *)(uintptr_t)base, size);
	ccr_table_remove(&va.reservations, index);
	return CUDA_SUCCESS;
}

static int prot_of(const struct ccr_mapping *mapping)
{
	int access = 0;

	for (int i = 0; i < CCR_MAX_DEVICES; i++)
		access |= mapping->access[i];
	return access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE ? PROT_READ | PROT_WRITE
	       : access == CU_MEM_ACCESS_FLAGS_PROT_READ    ? PROT_READ
							    : PROT_NONE;
}

static CUresult attach(const struct ccr_mapping *mapping)
{
	void *addr = (void *)(uintptr_t)mapping->range.base;

	if (mmap(addr, mapping->range.size, prot_of(mapping), MAP_SHARED | MAP_FIXED,
		 ccr_phys_fd(mapping->phys),
		 (off_t)(mapping->phys->offset + mapping->offset)) == MAP_FAILED)
		return CUDA_ERROR_OUT_OF_MEMORY;
	// A child must not keep the device's memory. On hardware it has no access to it either.
	madvise(addr, mapping->range.size, MADV_DONTFORK);
	return CUDA_SUCCESS;
}

static CUresult detach(const struct ccr_mapping *mapping)
{
	if (mmap((void *)(uintptr_t)mapping->range.base, mapping->range.size, PROT_NONE,
		 RESERVED_FLAGS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return CUDA_ERROR_OUT_OF_MEMORY;
	return CUDA_SUCCESS;
}

CUresult ccr_va_map(CUdeviceptr base, uint64_t size, struct ccr_phys *phys, uint64_t offset,
		    bool is_internal)
{
	const struct ccr_range *home = ccr_table_find(&va.reservations, base);
	struct ccr_mapping item = {
		.range = {base, size}, .phys = phys, .offset = offset, .is_internal = is_internal};

	if (!home || base + size > home->base + home->size || base + size < base ||
	    ((const struct ccr_reservation *)home)->is_internal != is_internal)
		return CUDA_ERROR_INVALID_VALUE;
	if (overlaps(&ccr_mappings, base, size))
		return CUDA_ERROR_INVALID_VALUE;
	if (!ccr_table_insert(&ccr_mappings, &item))
		return CUDA_ERROR_OUT_OF_MEMORY;
	phys->map_refs++;
	return CUDA_SUCCESS;
}

// Returns the index of the first mapping if the range consists of whole mappings without a gap,
// else the table's count.
static size_t whole_mappings(CUdeviceptr base, uint64_t size)
{
	size_t first = ccr_table_after(&ccr_mappings, base), index = first;
	CUdeviceptr at = base;

	for (; at < base + size; index++) {
		const struct ccr_mapping *mapping;

		if (index == ccr_mappings.count)
			return ccr_mappings.count;
		mapping = ccr_table_at(&ccr_mappings, index);
		if (mapping->range.base != at)
			return ccr_mappings.count;
		at += mapping->range.size;
	}
	return at == base + size && size ? first : ccr_mappings.count;
}

CUresult ccr_va_unmap(CUdeviceptr base, uint64_t size)
{
	size_t index = whole_mappings(base, size);

	if (index == ccr_mappings.count)
		return CUDA_ERROR_INVALID_VALUE;
	while (size) {
		struct ccr_mapping mapping =
			*(struct ccr_mapping *)ccr_table_at(&ccr_mappings, index);

		if (detach(&mapping) != CUDA_SUCCESS)
			return CUDA_ERROR_UNMAP_FAILED;
		ccr_table_remove(&ccr_mappings, index);
		mapping.phys->map_refs--;
		ccr_phys_put(mapping.phys);
		size -= mapping.range.size;
	}
	return CUDA_SUCCESS;
}

CUresult ccr_va_set_access(CUdeviceptr base, uint64_t size, int device, CUmemAccess_flags flags)
{
	size_t index = whole_mappings(base, size);

	if (index == ccr_mappings.count)
		return CUDA_ERROR_INVALID_VALUE;
	for (uint64_t done = 0; done < size; index++) {
		struct ccr_mapping *mapping = ccr_table_at(&ccr_mappings, index);
		CUresult result;

		mapping->access[device] = (uint8_t)flags;
		result = attach(mapping);
		if (result != CUDA_SUCCESS)
			return result;
		done += mapping->range.size;
	}
	return CUDA_SUCCESS;
}

CUresult ccr_va_detach_all(void)
{
	for (size_t i = 0; i < ccr_mappings.count; i++) {
		CUresult result = detach(ccr_table_at(&ccr_mappings, i));

		if (result != CUDA_SUCCESS)
			return result;
	}
	return CUDA_SUCCESS;
}

CUresult ccr_va_attach_all(void)
{
	for (size_t i = 0; i < ccr_mappings.count; i++) {
		const struct ccr_mapping *mapping = ccr_table_at(&ccr_mappings, i);
		CUresult result;

		if (prot_of(mapping) == PROT_NONE)
			continue;
		result = attach(mapping);
		if (result != CUDA_SUCCESS)
			return result;
	}
	return CUDA_SUCCESS;
}
