// SPDX-License-Identifier: MIT
/*
 * Queries about an address: memory that replaces a cuMemAlloc must look like
 * cuMemAlloc memory, with the requested size and its context. Where the driver's
 * answer is right for both kinds, we keep it.
 */
#include "intercept/calls/calls.h"
#include "intercept/records/records.h"

/* A copy of the record for `dptr`. */
struct facts {
	CUdeviceptr base;
	uint64_t id, requested;
	CUcontext ctx;
	bool is_alloc;
	CUmemAllocationHandleType asked;
};

static bool look_up(CUdeviceptr dptr, struct facts *facts)
{
	const struct ccr__mapping *m;

	if (!ccr__is_active())
		return false;
	ccr__memory_lock();
	m = ccr__mapping_at(dptr);
	if (m)
		*facts = (struct facts){.base = m->base,
					.id = m->phys->id,
					.requested = m->phys->requested,
					.ctx = m->ctx,
					.is_alloc = m->is_alloc,
					.asked = m->phys->asked};
	ccr__memory_unlock();
	return m && (!facts->is_alloc || dptr < facts->base + facts->requested);
}

CUresult ccr__wrap_cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr dptr)
{
	struct facts facts;

	if (!look_up(dptr, &facts) || !facts.is_alloc)
		return ccr__real.cuMemGetAddressRange_v2(base, size, dptr);
	if (base)
		*base = facts.base;
	if (size)
		*size = facts.requested;
	return CUDA_SUCCESS;
}

/* Replaces the driver's answer where ours differs. */
static void amend(const struct facts *facts, CUpointer_attribute attribute, void *data)
{
	/* We made the memory exportable; the program did not ask for that. */
	if (attribute == CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES)
		*(unsigned long long *)data = facts->asked;
	if (!facts->is_alloc)
		return;
	switch (attribute) {
	case CU_POINTER_ATTRIBUTE_CONTEXT:
		*(CUcontext *)data = facts->ctx;
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
		*(CUdeviceptr *)data = facts->base;
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
		*(size_t *)data = facts->requested;
		break;
	case CU_POINTER_ATTRIBUTE_BUFFER_ID:
		/* The driver's number changes with each load. It never uses the upper half. */
		*(unsigned long long *)data = 1ull << 63 | facts->id;
		break;
	default:
		break;
	}
}

CUresult ccr__wrap_cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr ptr)
{
	const CUresult result = ccr__real.cuPointerGetAttribute(data, attribute, ptr);
	struct facts facts;

	if (result == CUDA_SUCCESS && data && look_up(ptr, &facts))
		amend(&facts, attribute, data);
	return result;
}

CUresult ccr__wrap_cuPointerGetAttributes(unsigned int count, CUpointer_attribute *attributes,
					  void **data, CUdeviceptr ptr)
{
	const CUresult result = ccr__real.cuPointerGetAttributes(count, attributes, data, ptr);
	struct facts facts;

	if (result == CUDA_SUCCESS && look_up(ptr, &facts))
		for (unsigned int i = 0; i < count; i++)
			if (data[i])
				amend(&facts, attributes[i], data[i]);
	return result;
}
