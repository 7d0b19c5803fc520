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
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/remap.h"
#include "plugin/work/threads.h"
#include "plugin/task/state.h"

static struct {
	struct ccr_pages *pages; /* NULL: nothing to compare */
	int fd;
	bool *is_mapped; /* for each chunk */
	struct remap_threads threads;
	atomic_size_t next;
	atomic_int result;
	char error[512]; /* of the thread that has set `result` */
} work;

static int compare(size_t chunk, void *buffer)
{
	char error[sizeof(work.error)];
	int none = 0, ret;

	ret = ccr_pages_compare_chunk(work.pages, work.fd, chunk, buffer, error, sizeof(error));
	if (ret && atomic_compare_exchange_strong(&work.result, &none, ret))
		memcpy(work.error, error, sizeof(error));
	return ret;
}

static void *compare_some(void *unused)
{
	char *buffer = malloc(CCR_PAGES_BUFFER);
	int ret = buffer ? 0 : -ENOMEM, none = 0;

	while (!ret && !atomic_load(&work.result)) {
		const size_t chunk = atomic_fetch_add(&work.next, 1);

		if (chunk >= work.pages->nr_chunks)
			break;
		if (work.is_mapped[chunk])
			ret = compare(chunk, buffer);
	}
	if (!buffer)
		atomic_compare_exchange_strong(&work.result, &none, ret);
	free(buffer);
	return NULL;
}

/* Returns whether there is such a chunk. */
static bool find_mapped(const struct ccr_pages *pages)
{
	bool is_any = false;

	work.is_mapped = calloc(pages->nr_chunks, sizeof(*work.is_mapped));
	for (size_t i = 0; work.is_mapped && i < pages->nr_mappings; i++) {
		const struct ccr_pages_mapping *m = &pages->mappings[i];

		if (!m->is_drivers || ccr_pages_find_emptied(pages, m->address) < pages->nr_emptied)
			continue;
		for (uint64_t chunk = m->offset / pages->chunk_size;
		     chunk <= (m->offset + m->size - 1) / pages->chunk_size; chunk++)
			work.is_mapped[chunk] = is_any = true;
	}
	return is_any;
}

static void release(void)
{
	free(work.is_mapped);
	ccr_pages_close(work.pages);
	if (work.fd >= 0)
		close(work.fd);
	memset(&work, 0, sizeof(work));
	work.fd = -1;
}

void ccr__remap_compare_begin(struct ccr_pages *pages, int fd)
{
	memset(&work, 0, sizeof(work));
	work.pages = pages;
	work.fd = fd;
	if (!ccr__plugin.settings.verify || !find_mapped(pages))
		release();
	else
		ccr__remap_threads_begin(&work.threads, 0, compare_some, NULL);
}

int ccr__remap_compare_end(void)
{
	int ret;

	if (!work.pages)
		return 0;
	compare_some(NULL); /* helps them, or does it alone */
	ccr__remap_threads_end(&work.threads);
	ret = atomic_load(&work.result);
	if (ret)
		ccr_err("%s", work.error[0] ? work.error : "out of memory");
	release();
	return ret;
}
