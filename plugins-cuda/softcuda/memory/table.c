// SPDX-License-Identifier: MIT
// Sorted arrays of non-overlapping address ranges. The owner of a table does the locking.
#include "softcuda/softcuda.h"

#include <stdlib.h>
#include <string.h>

struct ccr_table ccr_allocs = {.item_bytes = sizeof(struct ccr_alloc)};
struct ccr_table ccr_hosts = {.item_bytes = sizeof(struct ccr_host)};

uint64_t ccr_next_id(void)
{
	static atomic_ulong last;

	return atomic_fetch_add(&last, 1) + 1;
}

void *ccr_table_at(const struct ccr_table *table, size_t index)
{
	return table->items + index * table->item_bytes;
}

size_t ccr_table_after(const struct ccr_table *table, CUdeviceptr addr)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct ccr_range *range = ccr_table_at(table, middle);

		if (range->base + range->size > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void *ccr_table_find(const struct ccr_table *table, CUdeviceptr addr)
{
	size_t index = ccr_table_after(table, addr);
	struct ccr_range *range;

	if (index == table->count)
		return NULL;
	range = ccr_table_at(table, index);
	return range->base <= addr ? range : NULL;
}

void *ccr_table_insert(struct ccr_table *table, const void *item)
{
	const struct ccr_range *range = item;
	size_t index = ccr_table_after(table, range->base);
	char *at;

	if (table->count == table->room) {
		size_t room = table->room ? table->room * 2 : 32;
		char *items = realloc(table->items, room * table->item_bytes);

		if (!items)
			return NULL;
		table->items = items;
		table->room = room;
	}
	at = ccr_table_at(table, index);
	memmove(at + table->item_bytes, at, (table->count - index) * table->item_bytes);
	memcpy(at, item, table->item_bytes);
	table->count++;
	return at;
}

void ccr_table_remove(struct ccr_table *table, size_t index)
{
	char *at = ccr_table_at(table, index);

	table->count--;
	memmove(at, at + table->item_bytes, (table->count - index) * table->item_bytes);
}
