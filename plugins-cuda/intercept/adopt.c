// SPDX-License-Identifier: MIT
/*
 * Making memory of somebody else our own: fresh allocations and copies within
 * the device. Only own memory can be exported again, and only a process without
 * imported memory survives the driver's checkpoint. With thousands of
 * allocations the driver's calls are what takes the time, so a batch shares one
 * window: all own ones side by side, then all it copies from.
 */
#include "intercept/service.h"

/* Left alone: the driver needs some to work with. */
#define SPARE_BYTES (64ull << 20)

uint64_t ccr__adopt_room(CUdevice device)
{
	size_t free_bytes = 0, total;
	bool retained;

	if (ccr__context_push(device, &retained) != CUDA_SUCCESS)
		return 0;
	if (ccr__real.cuMemGetInfo_v2(&free_bytes, &total) != CUDA_SUCCESS)
		free_bytes = 0;
	ccr__context_pop(device, retained);
	return free_bytes > SPARE_BYTES ? free_bytes - SPARE_BYTES : 0;
}

bool ccr__adopt_fits(const struct ccr__adopt_batch *batch, const struct ccr__phys *phys)
{
	return !batch->nr ||
	       (batch->nr < CCR__ADOPT_MAX && batch->entries[0].phys->device == phys->device &&
		batch->bytes + phys->size <= CCR__ADOPT_BYTES);
}

void ccr__adopt_add(struct ccr__adopt_batch *batch, struct ccr__phys *phys,
		    CUmemGenericAllocationHandle from)
{
	batch->entries[batch->nr++] = (struct ccr__adoption){.phys = phys, .from = from};
	batch->bytes += phys->size;
}

static CUresult create(struct ccr__adopt_batch *batch)
{
	for (size_t i = 0; i < batch->nr; i++) {
		struct ccr__adoption *a = &batch->entries[i];
		const CUresult result =
			ccr__real.cuMemCreate(&a->own, a->phys->size, &a->phys->prop, 0);

		if (result != CUDA_SUCCESS) {
			a->own = 0;
			return result;
		}
	}
	return CUDA_SUCCESS;
}

/* The bytes from the window's beginning that are mapped, in `mapped`. */
static CUresult map_side(const struct ccr__adopt_batch *batch, CUdeviceptr window, bool own,
			 uint64_t *mapped)
{
	for (size_t i = 0; i < batch->nr; i++) {
		const struct ccr__adoption *a = &batch->entries[i];
		const CUresult result = ccr__real.cuMemMap(window + *mapped, a->phys->size, 0,
							   own ? a->own : a->from, 0);

		if (result != CUDA_SUCCESS)
			return result;
		*mapped += a->phys->size;
	}
	return CUDA_SUCCESS;
}

static CUresult copy(const struct ccr__adopt_batch *batch, CUdeviceptr window)
{
	const CUdevice device = batch->entries[0].phys->device;
	CUdeviceptr to = window;
	bool retained;
	CUresult result = ccr__context_push(device, &retained), finished;

	if (result != CUDA_SUCCESS)
		return result;
	for (size_t i = 0; i < batch->nr && result == CUDA_SUCCESS; i++) {
		const uint64_t size = batch->entries[i].phys->size;

		result = ccr__real.cuMemcpyDtoDAsync_v2(to, to + batch->bytes, size, NULL);
		to += size;
	}
	finished = ccr__real.cuStreamSynchronize(NULL);
	ccr__context_pop(device, retained);
	return result == CUDA_SUCCESS ? finished : result;
}

static CUresult copy_by_window(const struct ccr__adopt_batch *batch)
{
	const CUmemAccessDesc access = {
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE,
			     .id = batch->entries[0].phys->device},
		.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
	};
	uint64_t mapped = 0;
	CUdeviceptr window;
	CUresult result, undone = CUDA_SUCCESS;

	result = ccr__real.cuMemAddressReserve(&window, 2 * batch->bytes, 0, 0, 0);
	if (result != CUDA_SUCCESS)
		return result;
	result = map_side(batch, window, true, &mapped);
	if (result == CUDA_SUCCESS)
		result = map_side(batch, window, false, &mapped);
	if (result == CUDA_SUCCESS)
		result = ccr__real.cuMemSetAccess(window, mapped, &access, 1);
	if (result == CUDA_SUCCESS)
		result = copy(batch, window);
	if (mapped)
		undone = ccr__real.cuMemUnmap(window, mapped);
	if (undone == CUDA_SUCCESS)
		undone = ccr__real.cuMemAddressFree(window, 2 * batch->bytes);
	return result == CUDA_SUCCESS ? undone : result;
}

CUresult ccr__adopt(struct ccr__adopt_batch *batch)
{
	CUresult result = CUDA_SUCCESS;

	if (batch->nr) {
		result = create(batch);
		if (result == CUDA_SUCCESS)
			result = copy_by_window(batch);
	}
	if (result != CUDA_SUCCESS)
		ccr__adopt_undo(batch);
	return result;
}

void ccr__adopt_undo(struct ccr__adopt_batch *batch)
{
	for (size_t i = 0; i < batch->nr; i++) {
		if (batch->entries[i].own)
			ccr__real.cuMemRelease(batch->entries[i].own);
		batch->entries[i].own = 0;
	}
}
