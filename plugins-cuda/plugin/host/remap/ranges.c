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

int ccr__remap_add_range(struct remap_ranges *ranges, const struct remap_range *range)
{
	size_t at = 0;

	while (at < ranges->nr && ranges->list[at].start < range->start)
		at++;
	return insert(ranges, at, range->start, range->end);
}

bool ccr__remap_find_new(const struct remap_ranges *ranges, uint64_t start, uint64_t end,
			 uint64_t min_bytes, struct remap_range *found)
{
	for (size_t i = 0; i <= ranges->nr; i++) {
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
