// SPDX-License-Identifier: MIT
// Pinned host memory. cuMemHostAlloc returns shared anonymous memory, like the hardware driver, and
// the device sees it at the same address. Registered memory is only recorded.
#include "softcuda/impl.h"

#include <sys/mman.h>

#define ALLOC_FLAGS \
	(CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED)
#define REGISTER_FLAGS                                                \
	(CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP | \
	 CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY)

static CUresult add(struct ccr_host *host)
{
	size_t next = ccr_table_after(&ccr_hosts, host->range.base);
	const struct ccr_range *other =
		next < ccr_hosts.count ? ccr_table_at(&ccr_hosts, next) : NULL;

	if (other && other->base < host->range.base + host->range.size)
		return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	host->id = ccr_next_id();
	return ccr_table_insert(&ccr_hosts, host) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult SOFT(cuMemHostAlloc)(void **pp, size_t bytes, unsigned int flags)
{
	struct ccr_host host = {.flags = flags | CU_MEMHOSTALLOC_DEVICEMAP};
	CUresult result = ccr_ctx_current(&host.ctx);
	void *memory;

	if (result != CUDA_SUCCESS)
		return result;
	if (!pp || !bytes || flags & ~(unsigned int)ALLOC_FLAGS)
		return CUDA_ERROR_INVALID_VALUE;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return CUDA_ERROR_OUT_OF_MEMORY;
	host.range = (struct ccr_range){(CUdeviceptr)(uintptr_t)memory, bytes};
	ccr_mem_lock();
	result = add(&host);
	ccr_mem_unlock();
	if (result != CUDA_SUCCESS)
		munmap(memory, bytes);
	else
		*pp = memory;
	return result;
}

CUresult SOFT(cuMemAllocHost_v2)(void **pp, size_t bytes)
{
	return SOFT(cuMemHostAlloc)(pp, bytes, 0);
}

CUresult SOFT(cuMemHostRegister_v2)(void *p, size_t bytes, unsigned int flags)
{
	struct ccr_host host = {.range = {(CUdeviceptr)(uintptr_t)p, bytes},
				.flags = flags | CU_MEMHOSTREGISTER_DEVICEMAP,
				.is_registered = true};
	CUresult result = ccr_ctx_current(&host.ctx);

	if (result != CUDA_SUCCESS)
		return result;
	if (!p || !bytes || flags & ~(unsigned int)REGISTER_FLAGS ||
	    host.range.base + bytes < host.range.base)
		return CUDA_ERROR_INVALID_VALUE;
	if (flags & CU_MEMHOSTREGISTER_IOMEMORY)
		return CUDA_ERROR_NOT_SUPPORTED;
	ccr_mem_lock();
	result = add(&host);
	ccr_mem_unlock();
	return result;
}

// Waits for copies and kernels that may use the entry at p, and removes it.
static CUresult take(void *p, bool is_registered, CUresult missing)
{
	CUdeviceptr addr = (CUdeviceptr)(uintptr_t)p;
	const struct ccr_host *host;
	CUresult result = missing;

	ccr_queue_wait_context(NULL);
	ccr_take_begin();
	ccr_mem_lock();
	host = ccr_table_find(&ccr_hosts, addr);
	if (host && host->range.base == addr && host->is_registered == is_registered) {
		size_t bytes = host->range.size;

		ccr_table_remove(&ccr_hosts, ccr_table_after(&ccr_hosts, addr));
		if (!is_registered)
			munmap(p, bytes);
		result = CUDA_SUCCESS;
	}
	ccr_mem_unlock();
	ccr_take_end();
	return result;
}

CUresult SOFT(cuMemFreeHost)(void *p)
{
	return p ? take(p, false, CUDA_ERROR_INVALID_VALUE) : CUDA_SUCCESS;
}

CUresult SOFT(cuMemHostUnregister)(void *p)
{
	if (!p)
		return CUDA_ERROR_INVALID_VALUE;
	return take(p, true, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

void ccr_host_free_context(struct ccr_ctx *ctx)
{
	ccr_take_begin();
	ccr_mem_lock();
	for (size_t i = ccr_hosts.count; i-- > 0;) {
		struct ccr_host host = *(struct ccr_host *)ccr_table_at(&ccr_hosts, i);

		if (host.ctx != ctx)
			continue;
		ccr_table_remove(&ccr_hosts, i);
		if (!host.is_registered)
			munmap((void *)(uintptr_t)host.range.base, host.range.size);
	}
	ccr_mem_unlock();
	ccr_take_end();
}

CUresult SOFT(cuMemHostGetDevicePointer_v2)(CUdeviceptr *dptr, void *p, unsigned int flags)
{
	bool found;

	if (!dptr || !p || flags)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	found = ccr_table_find(&ccr_hosts, (CUdeviceptr)(uintptr_t)p) != NULL;
	ccr_mem_unlock();
	if (!found)
		return CUDA_ERROR_INVALID_VALUE;
	*dptr = (CUdeviceptr)(uintptr_t)p;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuMemHostGetFlags)(unsigned int *flags, void *p)
{
	const struct ccr_host *host;

	if (!flags)
		return CUDA_ERROR_INVALID_VALUE;
	ccr_mem_lock();
	host = ccr_table_find(&ccr_hosts, (CUdeviceptr)(uintptr_t)p);
	if (host)
		*flags = host->flags;
	ccr_mem_unlock();
	return host ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
