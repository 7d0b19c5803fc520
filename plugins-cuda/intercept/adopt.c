// SPDX-License-Identifier: MIT
/*
 * Making memory of somebody else our own: fresh allocations and copies within
 * the device. Only own memory can be exported again, and only a process without
 * imported memory survives the driver's checkpoint. With thousands of
 * allocations what takes the time is each mapping that gets access rights: what
 * the program has mapped already is copied from or to where it is, the rest
 * meets in one window a batch.
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

/* Where the program itself reaches all of an allocation, or 0. */
static CUdeviceptr whole_mapping(const struct ccr__phys *phys)
{
	const struct ccr__mapping *m = phys->maps;

	while (m && (m->size != phys->size ||
		     m->access[phys->device] != CU_MEM_ACCESS_FLAGS_PROT_READWRITE))
		m = m->next;
	return m ? m->base : 0;
}

CUresult ccr__adopt_create(struct ccr__adopt_batch *batch)
{
	for (size_t i = 0; i < batch->nr; i++) {
		struct ccr__adoption *a = &batch->entries[i];
		const CUresult result =
			ccr__real.cuMemCreate(&a->own, a->phys->size, &a->phys->prop, 0);

		if (result != CUDA_SUCCESS) {
			a->own = 0;
			ccr__adopt_undo(batch);
			return result;
		}
	}
	return CUDA_SUCCESS;
}

/* Into the window what has no address yet; `*mapped` bytes of it from its beginning. */
static CUresult map_rest(struct ccr__adopt_batch *batch, CUdeviceptr window, uint64_t *mapped)
{
	for (size_t i = 0; i < batch->nr; i++) {
		struct ccr__adoption *a = &batch->entries[i];
		CUdeviceptr *const sides[] = {&a->from_at, &a->own_at};
		const CUmemGenericAllocationHandle handles[] = {a->from, a->own};

		for (int side = 0; side < 2; side++) {
			CUresult result;

			if (*sides[side])
				continue;
			result = ccr__real.cuMemMap(window + *mapped, a->phys->size, 0,
						    handles[side], 0);
			if (result != CUDA_SUCCESS)
				return result;
			*sides[side] = window + *mapped;
			*mapped += a->phys->size;
		}
	}
	return CUDA_SUCCESS;
}

static CUresult copy_all(const struct ccr__adopt_batch *batch)
{
	const CUdevice device = batch->entries[0].phys->device;
	bool retained;
	CUresult result = ccr__context_push(device, &retained), finished;

	if (result != CUDA_SUCCESS)
		return result;
	for (size_t i = 0; i < batch->nr && result == CUDA_SUCCESS; i++) {
		const struct ccr__adoption *a = &batch->entries[i];

		result = ccr__real.cuMemcpyDtoDAsync_v2(a->own_at, a->from_at, a->phys->size, NULL);
	}
	finished = ccr__real.cuStreamSynchronize(NULL);
	ccr__context_pop(device, retained);
	return result == CUDA_SUCCESS ? finished : result;
}

CUresult ccr__adopt_copy(struct ccr__adopt_batch *batch, enum ccr__placed placed)
{
	const CUmemAccessDesc access = {
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE,
			     .id = batch->entries[0].phys->device},
		.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
	};
	uint64_t mapped = 0;
	CUdeviceptr window;
	CUresult result, undone = CUDA_SUCCESS;

	for (size_t i = 0; i < batch->nr; i++) {
		struct ccr__adoption *a = &batch->entries[i];

		a->from_at = placed == CCR__FROM_PLACED ? whole_mapping(a->phys) : 0;
		a->own_at = placed == CCR__OWN_PLACED ? whole_mapping(a->phys) : 0;
	}
	result = ccr__real.cuMemAddressReserve(&window, 2 * batch->bytes, 0, 0, 0);
	if (result != CUDA_SUCCESS)
		return result;
	result = map_rest(batch, window, &mapped);
	if (result == CUDA_SUCCESS)
		result = ccr__real.cuMemSetAccess(window, mapped, &access, 1);
	if (result == CUDA_SUCCESS)
		result = copy_all(batch);
	if (mapped)
		undone = ccr__real.cuMemUnmap(window, mapped);
	if (undone == CUDA_SUCCESS)
		undone = ccr__real.cuMemAddressFree(window, 2 * batch->bytes);
	return result == CUDA_SUCCESS ? undone : result;
}

void ccr__adopt_undo(struct ccr__adopt_batch *batch)
{
	for (size_t i = 0; i < batch->nr; i++) {
		if (batch->entries[i].own)
			ccr__real.cuMemRelease(batch->entries[i].own);
		batch->entries[i].own = 0;
	}
}
