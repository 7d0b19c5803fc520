// SPDX-License-Identifier: MIT
/*
 * Makes the pool's memory our own: new allocations, and copies within the device.
 * Only our own memory can be exported again, and only a process without imported
 * memory survives the driver's checkpoint. With thousands of allocations, setting
 * access rights for each mapping takes the most time. So we copy from or to the
 * program's own mappings where there are any, and map the rest into one window
 * for each batch.
 */
#include "intercept/records/contexts.h"
#include "intercept/service/adopt.h"

/* Left free, because the driver needs some memory to work. */
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

/* True when the entry comes from the same memory as the previous one. */
static bool shares_from(const struct ccr__adopt_batch *batch, size_t i)
{
	return i && batch->entries[i - 1].from == batch->entries[i].from;
}

void ccr__adopt_add(struct ccr__adopt_batch *batch, struct ccr__phys *phys,
		    CUmemGenericAllocationHandle from, uint64_t offset, uint64_t from_size)
{
	batch->entries[batch->nr] = (struct ccr__adoption){
		.phys = phys, .from = from, .offset = offset, .from_size = from_size};
	if (!shares_from(batch, batch->nr))
		batch->from_bytes += from_size;
	batch->bytes += phys->size;
	batch->nr++;
}

/* Returns the address where the program has mapped all of an allocation, or 0. */
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

/* Maps at the end of what is already mapped of a window. */
static CUresult map_next(CUdeviceptr window, uint64_t *mapped, CUmemGenericAllocationHandle handle,
			 uint64_t size, CUdeviceptr *at)
{
	const CUresult result = ccr__real.cuMemMap(window + *mapped, size, 0, handle, 0);

	if (result != CUDA_SUCCESS)
		return result;
	*at = window + *mapped;
	*mapped += size;
	return result;
}

/* Maps into the window what has no address yet; `*mapped` bytes from its beginning are in use. */
static CUresult map_missing(struct ccr__adopt_batch *batch, CUdeviceptr window, uint64_t *mapped)
{
	CUresult result = CUDA_SUCCESS;

	for (size_t i = 0; i < batch->nr && result == CUDA_SUCCESS; i++) {
		struct ccr__adoption *a = &batch->entries[i];
		const struct ccr__adoption *previous = a - 1;

		if (!a->from_at && shares_from(batch, i)) {
			a->from_at = previous->from_at - previous->offset + a->offset;
		} else if (!a->from_at) {
			result = map_next(window, mapped, a->from, a->from_size, &a->from_at);
			a->from_at += a->offset;
		}
		if (result == CUDA_SUCCESS && !a->own_at)
			result = map_next(window, mapped, a->own, a->phys->size, &a->own_at);
	}
	return result;
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
	const uint64_t room = batch->bytes + batch->from_bytes;
	uint64_t mapped = 0;
	CUdeviceptr window;
	CUresult result, undone = CUDA_SUCCESS;

	for (size_t i = 0; i < batch->nr; i++) {
		struct ccr__adoption *a = &batch->entries[i];

		a->from_at = placed == CCR__FROM_PLACED ? whole_mapping(a->phys) : 0;
		a->own_at = placed == CCR__OWN_PLACED ? whole_mapping(a->phys) : 0;
	}
	result = ccr__real.cuMemAddressReserve(&window, room, 0, 0, 0);
	if (result != CUDA_SUCCESS)
		return result;
	result = map_missing(batch, window, &mapped);
	if (result == CUDA_SUCCESS)
		result = ccr__real.cuMemSetAccess(window, mapped, &access, 1);
	if (result == CUDA_SUCCESS)
		result = copy_all(batch);
	if (mapped)
		undone = ccr__real.cuMemUnmap(window, mapped);
	if (undone == CUDA_SUCCESS)
		undone = ccr__real.cuMemAddressFree(window, room);
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
