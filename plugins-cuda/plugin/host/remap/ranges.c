// SPDX-License-Identifier: GPL-2.0-only
/* The addresses that a task has mapped, to find out later which ones are new. */
#include "plugin/host/remap/remap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int insert(struct remap_ranges *ranges, size_t at, uint64_t start, uint64_t end)
{
	if (ranges->nr == ranges->room) {
		const size_t room = ranges->room ? ranges->room * 2 : 256;
		void *bigger = realloc(ranges->list, room * sizeof(*ranges->list));

		if (!bigger)
			return -ENOMEM;
		ranges->list = bigger;
		ranges->room = room;
	}
	memmove(ranges->list + at + 1, ranges->list + at,
		(ranges->nr - at) * sizeof(*ranges->list));
	ranges->list[at] = (struct remap_range){start, end};
	ranges->nr++;
	return 0;
}

int ccr__remap_ranges(struct remap_ranges *ranges, pid_t pid)
{
	unsigned long start, end;
	char path[32], line[512];
	FILE *maps;
	int ret = 0;

	memset(ranges, 0, sizeof(*ranges));
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (!ret && fgets(line, sizeof(line), maps)) {
		struct remap_range *last = ranges->nr ? &ranges->list[ranges->nr - 1] : NULL;

		if (sscanf(line, "%lx-%lx ", &start, &end) != 2)
			continue; /* the rest of a long line */
		if (last && last->end == start)
			last->end = end;
		else
			ret = insert(ranges, ranges->nr, start, end);
	}
	fclose(maps);
	return ret;
}

size_t ccr__remap_find_range(const struct remap_ranges *ranges, uint64_t address)
{
	size_t low = 0, high = ranges->nr;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (ranges->list[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int ccr__remap_add_range(struct remap_ranges *ranges, const struct remap_range *range)
{
	const size_t at = range->start ? ccr__remap_find_range(ranges, range->start - 1) : 0;
	struct remap_range merged = *range;
	size_t last = at;

	while (last < ranges->nr && ranges->list[last].start <= range->end) {
		if (ranges->list[last].start < merged.start)
			merged.start = ranges->list[last].start;
		if (ranges->list[last].end > merged.end)
			merged.end = ranges->list[last].end;
		last++;
	}
	if (last == at)
		return insert(ranges, at, merged.start, merged.end);
	ranges->list[at] = merged;
	memmove(ranges->list + at + 1, ranges->list + last,
		(ranges->nr - last) * sizeof(*ranges->list));
	ranges->nr -= last - at - 1;
	return 0;
}

bool ccr__remap_find_new(const struct remap_ranges *ranges, uint64_t start, uint64_t end,
			 uint64_t min_bytes, struct remap_range *found)
{
	for (size_t i = ccr__remap_find_range(ranges, start); i <= ranges->nr; i++) {
		const struct remap_range *known = i < ranges->nr ? &ranges->list[i] : NULL;
		const uint64_t stop = known && known->start < end ? known->start : end;

		if (stop > start && stop - start >= min_bytes) {
			*found = (struct remap_range){start, stop};
			return true;
		}
		if (!known || known->start >= end)
			break;
		if (known->end > start)
			start = known->end;
	}
	return false;
}
