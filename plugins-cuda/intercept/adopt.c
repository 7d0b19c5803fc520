// SPDX-License-Identifier: MIT
/*
 * Making memory of somebody else our own: a fresh allocation and a copy within
 * the device. Only own memory can be exported again, and only a process without
 * imported memory survives the driver's checkpoint.
 */
#include "intercept/service.h"

/* The window is one reservation of twice the size: `own` first, then `from`. */
static CUresult map_window(struct ccr__adoption *a)
{
	const uint64_t size = a->phys->size;
	const CUmemAccessDesc access = {
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = a->phys->device},
		.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
	};
	CUresult result;

	result = ccr__real.cuMemAddressReserve(&a->window, 2 * size, 0, 0, 0);
	if (result != CUDA_SUCCESS) {
		a->window = 0;
		return result;
	}
	result = ccr__real.cuMemMap(a->window, size, 0, a->own, 0);
	if (result != CUDA_SUCCESS)
		goto out_free;
	result = ccr__real.cuMemMap(a->window + size, size, 0, a->from, 0);
	if (result != CUDA_SUCCESS)
		goto out_unmap;
	result = ccr__real.cuMemSetAccess(a->window, 2 * size, &access, 1);
	if (result == CUDA_SUCCESS)
		return result;
	ccr__real.cuMemUnmap(a->window + size, size);
out_unmap:
	ccr__real.cuMemUnmap(a->window, size);
out_free:
	ccr__real.cuMemAddressFree(a->window, 2 * size);
	a->window = 0;
	return result;
}

static CUresult unmap_window(struct ccr__adoption *a)
{
	const uint64_t size = a->phys->size;
	CUresult result;

	if (!a->window)
		return CUDA_SUCCESS;
	result = ccr__real.cuMemUnmap(a->window, size);
	if (result == CUDA_SUCCESS)
		result = ccr__real.cuMemUnmap(a->window + size, size);
	if (result == CUDA_SUCCESS)
		result = ccr__real.cuMemAddressFree(a->window, 2 * size);
	a->window = 0;
	return result;
}

CUresult ccr__adopt_begin(struct ccr__adoption *a)
{
	bool retained;
	CUresult result;

	a->own = 0;
	a->window = 0;
	result = ccr__real.cuMemCreate(&a->own, a->phys->size, &a->phys->prop, 0);
	if (result != CUDA_SUCCESS) {
		a->own = 0;
		return result;
	}
	result = map_window(a);
	if (result == CUDA_SUCCESS)
		result = ccr__context_push(a->phys->device, &retained);
	if (result == CUDA_SUCCESS) {
		result = ccr__real.cuMemcpyDtoDAsync_v2(a->window, a->window + a->phys->size,
							a->phys->size, NULL);
		ccr__context_pop(a->phys->device, retained);
	}
	if (result != CUDA_SUCCESS)
		ccr__adopt_undo(a, 1);
	return result;
}

CUresult ccr__adopt_finish(struct ccr__adoption *adoptions, size_t nr)
{
	CUresult result, first = CUDA_SUCCESS;
	uint64_t synchronised = 0;
	bool retained;

	for (size_t i = 0; i < nr; i++) {
		const uint32_t device = adoptions[i].phys->device;

		if (synchronised & 1ull << device)
			continue;
		synchronised |= 1ull << device;
		result = ccr__context_push(device, &retained);
		if (result == CUDA_SUCCESS) {
			result = ccr__real.cuStreamSynchronize(NULL);
			ccr__context_pop(device, retained);
		}
		if (first == CUDA_SUCCESS)
			first = result;
	}
	for (size_t i = 0; i < nr; i++) {
		result = unmap_window(&adoptions[i]);
		if (first == CUDA_SUCCESS)
			first = result;
	}
	return first;
}

void ccr__adopt_undo(struct ccr__adoption *adoptions, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		unmap_window(&adoptions[i]);
		if (adoptions[i].own)
			ccr__real.cuMemRelease(adoptions[i].own);
		adoptions[i].own = 0;
	}
}

uint64_t ccr__free_bytes(CUdevice device)
{
	size_t free_bytes = 0, total;
	bool retained;

	if (ccr__context_push(device, &retained) != CUDA_SUCCESS)
		return 0;
	if (ccr__real.cuMemGetInfo_v2(&free_bytes, &total) != CUDA_SUCCESS)
		free_bytes = 0;
	ccr__context_pop(device, retained);
	return free_bytes;
}
