// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver reads from its mapping of the page file is compared with its
 * checksums meanwhile, by threads of criu: the driver is not delayed, and the
 * task has not run yet when the result is known.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/remap.h"
#include "plugin/task/state.h"

struct remap_compare {
	struct work work;
	const struct ccr_pages *pages;
	int fd;
	size_t *chunks; /* that are mapped */
	atomic_bool has_error;
	char error[512];
};

static int compare(void *data, size_t piece, char *buffer)
{
	struct remap_compare *compare = data;
	char error[sizeof(compare->error)];
	bool no = false;
	int ret;

	ret = ccr_pages_compare_chunk(compare->pages, compare->fd, compare->chunks[piece], buffer,
				      error, sizeof(error));
	if (ret && atomic_compare_exchange_strong(&compare->has_error, &no, true))
		memcpy(compare->error, error, sizeof(error));
	return ret;
}

/* Pieces are in order of addresses, not of chunks, and neighbors in the file may share one. */
static void mark_chunks(bool *is_wanted, const struct ccr_pages *pages,
			const struct ccr_pages_mapping *m)
{
	const uint64_t size = pages->chunk_size;

	for (uint64_t chunk = m->offset / size; chunk <= (m->offset + m->size - 1) / size; chunk++)
		is_wanted[chunk] = true;
}

static bool is_mapped(const struct ccr_pages *pages, const struct ccr_pages_mapping *m)
{
	return m->is_drivers && ccr_pages_find_emptied(pages, m->address) == pages->nr_emptied;
}

/* Returns 0 or -ENOMEM. */
static int choose_chunks(struct remap_compare *compare)
{
	const struct ccr_pages *pages = compare->pages;
	bool *is_wanted = calloc(pages->nr_chunks + 1, sizeof(*is_wanted));

	compare->chunks = calloc(pages->nr_chunks + 1, sizeof(*compare->chunks));
	if (!is_wanted || !compare->chunks) {
		free(is_wanted);
		return -ENOMEM;
	}
	for (size_t i = 0; i < pages->nr_mappings; i++)
		if (is_mapped(pages, &pages->mappings[i]))
			mark_chunks(is_wanted, pages, &pages->mappings[i]);
	for (size_t i = 0; i < pages->nr_chunks; i++)
		if (is_wanted[i])
			compare->chunks[compare->work.nr_pieces++] = i;
	free(is_wanted);
	return 0;
}

struct remap_compare *ccr__remap_compare_new(const struct ccr_pages *pages, int fd)
{
	struct remap_compare *compare_all = calloc(1, sizeof(*compare_all));

	if (!compare_all)
		return NULL;
	compare_all->pages = pages;
	compare_all->fd = fd;
	compare_all->work = (struct work){.run = compare, .data = compare_all, .can_wait = true};
	if (ccr__plugin.settings.verify && choose_chunks(compare_all)) {
		free(compare_all->chunks);
		free(compare_all);
		return NULL;
	}
	return compare_all;
}

struct work *ccr__remap_compare_work(struct remap_compare *compare)
{
	return &compare->work;
}

void ccr__remap_compare_end(struct remap_compare *compare, int result)
{
	if (result && result != -ECANCELED)
		ccr_err("%s", compare->error[0] ? compare->error : "out of memory");
	free(compare->chunks);
	free(compare);
}
