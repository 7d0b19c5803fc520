// SPDX-License-Identifier: MIT
/* The driver side of the records: mapping, access, release. The caller holds the table's lock. */
#include "intercept/records/records.h"

CUresult ccr__place_access(const struct ccr__mapping *mapping)
{
	CUmemAccessDesc access[CCR_MAX_DEVICES];
	size_t count = 0;

	for (int device = 0; device < CCR_MAX_DEVICES; device++)
		if (mapping->access[device])
			access[count++] = (CUmemAccessDesc){
				.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device},
				.flags = mapping->access[device],
			};
	return count ? ccr__real.cuMemSetAccess(mapping->base, mapping->size, access, count)
		     : CUDA_SUCCESS;
}

CUresult ccr__place_map(const struct ccr__mapping *mapping, CUmemGenericAllocationHandle handle)
{
	CUresult result =
		ccr__real.cuMemMap(mapping->base, mapping->size, mapping->offset, handle, 0);

	if (result != CUDA_SUCCESS)
		return result;
	result = ccr__place_access(mapping);
	if (result != CUDA_SUCCESS)
		ccr__real.cuMemUnmap(mapping->base, mapping->size);
	return result;
}

/* Unmaps those before `end` in the list; with NULL, all of them. */
static CUresult unmap_some(struct ccr__phys *phys, const struct ccr__mapping *end)
{
	CUresult result, first = CUDA_SUCCESS;

	for (struct ccr__mapping *m = phys->maps; m != end; m = m->next) {
		result = ccr__real.cuMemUnmap(m->base, m->size);
		if (first == CUDA_SUCCESS)
			first = result;
	}
	return first;
}

CUresult ccr__place_unmap_all(struct ccr__phys *phys)
{
	return unmap_some(phys, NULL);
}

CUresult ccr__place_map_all(struct ccr__phys *phys, CUmemGenericAllocationHandle handle)
{
	for (struct ccr__mapping *m = phys->maps; m; m = m->next) {
		const CUresult result = ccr__place_map(m, handle);

		if (result != CUDA_SUCCESS) {
			unmap_some(phys, m);
			return result;
		}
	}
	return CUDA_SUCCESS;
}

void ccr__place_release(struct ccr__phys *phys)
{
	if (phys->app_refs || phys->nr_maps)
		return;
	if (phys->handle)
		ccr__real.cuMemRelease(phys->handle);
	ccr__phys_forget(phys);
}
