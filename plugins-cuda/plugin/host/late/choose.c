// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may be late is decided at the dump: private memory of the program that the driver does not
 * pin. To pin a page that is late fails instead of waiting.
 */
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "image/pages/pages.h"
#include "plugin/host/late/faults.h"
#include "plugin/task/state.h"

#define MIN_BYTES (32ull << 20) /* not worth the effort for less */

/* Then nearly all memory gets huge pages when it is filled, but not when it is late. */
static bool has_huge_pages_always(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char line[64] = "";

	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	return strstr(line, "[always]");
}

static bool is_late(const struct ccr_pages *pages, const struct ccr_pages_mapping *piece)
{
	const size_t at = ccr_pages_find_emptied(pages, piece->address);

	return at < pages->nr_emptied && pages->emptied[at].may_be_late;
}

bool ccr__late_is_wanted(const struct ccr_pages *pages)
{
	uint64_t bytes = 0;

	if (!ccr__plugin.settings.late_memory || ccr__plugin.watcher_fd < 0)
		return false;
	for (size_t i = 0; i < pages->nr_mappings; i++)
		if (is_late(pages, &pages->mappings[i]))
			bytes += pages->mappings[i].size;
	return bytes >= MIN_BYTES && !has_huge_pages_always();
}

int ccr__late_choose(struct remap_ranges *ranges, const struct ccr_pages *pages)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < pages->nr_emptied; i++) {
		const struct ccr_pages_emptied *e = &pages->emptied[i];
		const struct remap_range range = {e->address, e->address + e->size};

		if (e->may_be_late)
			ret = ccr__remap_add_range(ranges, &range);
	}
	return ret;
}

/* Finds the first piece that ends after the address. */
static size_t find_piece(const struct ccr_pages *pages, uint64_t address)
{
	size_t low = 0, high = pages->nr_mappings;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (pages->mappings[middle].address + pages->mappings[middle].size <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int ccr__late_read(const struct late *late, uint64_t address, char *bytes, size_t size)
{
	const struct ccr_pages *pages = late->pages;
	const uint64_t end = address + size;
	int ret = 0;

	memset(bytes, 0, size);
	for (size_t i = find_piece(pages, address);
	     !ret && i < pages->nr_mappings && pages->mappings[i].address < end; i++) {
		const struct ccr_pages_mapping *piece = &pages->mappings[i];
		const uint64_t from = piece->address > address ? piece->address : address;
		const uint64_t piece_end = piece->address + piece->size;
		const uint64_t to = piece_end < end ? piece_end : end;

		ret = ccr_io_pread_full(late->file, bytes + (from - address), to - from,
					piece->offset + (from - piece->address));
	}
	return ret;
}
