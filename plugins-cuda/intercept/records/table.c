// SPDX-License-Identifier: MIT
/* The tables of records.h: allocations by id, mappings by address. */
#include "intercept/records/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "intercept/records/kept.h"

#define NR_BUCKETS 4096
/* Marks a handle as ours; the driver's handles are small numbers or pointers. */
#define APP_HANDLE_MARK 0xccc5000000000000ull
#define APP_HANDLE_MASK 0xffff000000000000ull

struct ccr__memory ccr__memory = {.lock = PTHREAD_MUTEX_INITIALIZER, .next_id = 1};

static struct ccr__phys *buckets[NR_BUCKETS];

struct ccr__phys *ccr__phys_new(uint64_t size)
{
	struct ccr__phys *phys = calloc(1, sizeof(*phys));

	if (!phys)
		return NULL;
	phys->id = ccr__memory.next_id++;
	phys->size = size;
	phys->next = ccr__memory.all;
	if (phys->next)
		phys->next->prev = phys;
	ccr__memory.all = phys;
	phys->next_id = buckets[phys->id % NR_BUCKETS];
	buckets[phys->id % NR_BUCKETS] = phys;
	return phys;
}

void ccr__phys_forget(struct ccr__phys *phys)
{
	struct ccr__phys **link = &buckets[phys->id % NR_BUCKETS];

	ccr__kept_forget(phys);
	while (*link != phys)
		link = &(*link)->next_id;
	*link = phys->next_id;
	if (phys->prev)
		phys->prev->next = phys->next;
	else
		ccr__memory.all = phys->next;
	if (phys->next)
		phys->next->prev = phys->prev;
	free(phys->ipc);
	free(phys);
}

void ccr__phys_exclude(struct ccr__phys *phys, const char *why)
{
	if (phys->is_excluded)
		return;
	ccr__kept_exclude(phys);
	phys->is_excluded = true;
	ccr_info("allocation %llu (%llu bytes) is left to the driver: %s",
		 (unsigned long long)phys->id, (unsigned long long)phys->size, why);
}

struct ccr__phys *ccr__phys_by_id(uint64_t id)
{
	struct ccr__phys *phys = buckets[id % NR_BUCKETS];

	while (phys && phys->id != id)
		phys = phys->next_id;
	return phys;
}

CUmemGenericAllocationHandle ccr__phys_to_app(const struct ccr__phys *phys)
{
	return APP_HANDLE_MARK | phys->id;
}

struct ccr__phys *ccr__phys_from_app(CUmemGenericAllocationHandle handle)
{
	struct ccr__phys *phys;

	if ((handle & APP_HANDLE_MASK) != APP_HANDLE_MARK)
		return NULL;
	phys = ccr__phys_by_id(handle & ~APP_HANDLE_MASK);
	return phys && phys->app_refs ? phys : NULL;
}

size_t ccr__mapping_after(CUdeviceptr address)
{
	size_t low = 0, high = ccr__memory.nr_mappings;

	while (low < high) {
		const size_t middle = (low + high) / 2;
		const struct ccr__mapping *m = ccr__memory.mappings[middle];

		if (m->base + m->size > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct ccr__mapping *ccr__mapping_at(CUdeviceptr address)
{
	const size_t index = ccr__mapping_after(address);
	struct ccr__mapping *m;

	if (index == ccr__memory.nr_mappings)
		return NULL;
	m = ccr__memory.mappings[index];
	return m->base <= address ? m : NULL;
}

struct ccr__mapping *ccr__mapping_add(const struct ccr__mapping *mapping)
{
	struct ccr__mapping *copy = malloc(sizeof(*copy));
	size_t index;

	if (!copy)
		return NULL;
	if (ccr__memory.nr_mappings == ccr__memory.room) {
		const size_t room = ccr__memory.room ? 2 * ccr__memory.room : 256;
		void *grown = realloc(ccr__memory.mappings, room * sizeof(copy));

		if (!grown) {
			free(copy);
			return NULL;
		}
		ccr__memory.mappings = grown;
		ccr__memory.room = room;
	}
	*copy = *mapping;
	index = ccr__mapping_after(copy->base);
	memmove(&ccr__memory.mappings[index + 1], &ccr__memory.mappings[index],
		(ccr__memory.nr_mappings - index) * sizeof(copy));
	ccr__memory.mappings[index] = copy;
	ccr__memory.nr_mappings++;
	copy->phys->nr_maps++;
	copy->next = copy->phys->maps;
	copy->phys->maps = copy;
	return copy;
}

void ccr__mapping_remove(struct ccr__mapping *mapping)
{
	const size_t index = ccr__mapping_after(mapping->base);
	struct ccr__mapping **link = &mapping->phys->maps;

	while (*link != mapping)
		link = &(*link)->next;
	*link = mapping->next;
	ccr__memory.nr_mappings--;
	memmove(&ccr__memory.mappings[index], &ccr__memory.mappings[index + 1],
		(ccr__memory.nr_mappings - index) * sizeof(mapping));
	mapping->phys->nr_maps--;
}
