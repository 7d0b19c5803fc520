// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/host/remap/from_file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "plugin/host/remap/smaps.h"
#include "plugin/inject/inject.h"

struct finder {
	struct from_file_list *found;
	const struct ccr_pages *pages;
};

static int add(struct from_file_list *found, const struct mapping *m, uint64_t start, uint64_t end,
	       bool is_shared)
{
	struct from_file *item;

	if (start >= end)
		return 0;
	if (found->nr == found->room) {
		const size_t room = found->room ? found->room * 2 : 64;
		void *bigger = realloc(found->list, room * sizeof(*found->list));

		if (!bigger)
			return -ENOMEM;
		found->list = bigger;
		found->room = room;
	}
	item = &found->list[found->nr++];
	*item = (struct from_file){
		.mapping = {.address = start,
			    .size = end - start,
			    .prot = m->prot,
			    .flags = m->flags,
			    .is_shared = is_shared},
		.piece = {.address = start,
			  .size = end - start,
			  .offset = m->offset + (start - m->start)},
	};
	return 0;
}

/* Adds a mapping without what is the driver's. Neighbors in the file may have been merged. */
static int find_in_mapping(const struct mapping *m, void *data)
{
	const struct finder *finder = data;
	uint64_t at = m->start;
	int ret = 0;

	if (!m->is_page_file)
		return 0;
	for (size_t i = 0; !ret && i < finder->pages->nr_mappings; i++) {
		const struct ccr_pages_mapping *saved = &finder->pages->mappings[i];
		const uint64_t saved_end = saved->address + saved->size;
		const uint64_t start = saved->address > at ? saved->address : at;
		const uint64_t end = saved_end < m->end ? saved_end : m->end;

		if (start >= end || !(saved->is_drivers || saved->is_shared))
			continue;
		ret = add(finder->found, m, at, start, false);
		if (!ret && saved->is_shared)
			ret = add(finder->found, m, start, end, true);
		at = end;
	}
	return ret ? ret : add(finder->found, m, at, m->end, false);
}

int ccr__from_file_find(struct from_file_list *found, pid_t pid, const struct ccr_pages *pages)
{
	struct finder finder = {found, pages};

	return pages->nr_emptied ? 0 : ccr__smaps_for_each(pid, find_in_mapping, &finder);
}

int ccr__from_file_replace(const struct from_file_list *found, struct injection *in)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < found->nr; i++)
		ret = ccr__remap_make_anonymous(in, &found->list[i].mapping,
						PROT_READ | PROT_WRITE);
	return ret;
}

int ccr__from_file_protect(const struct from_file_list *found, struct injection *in)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < found->nr; i++) {
		const struct remap_mapping *m = &found->list[i].mapping;
		const uint64_t arguments[6] = {m->address, m->size, m->prot};
		int64_t result = 0;

		if (m->prot == (PROT_READ | PROT_WRITE))
			continue;
		ret = ccr__inject_call(in, &result, SYS_mprotect, arguments);
		if (!ret)
			ret = result;
	}
	return ret;
}
