// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images of version 0.2.0: a restored process has the page file mapped in place
 * of its own memory. A private file mapping reads like anonymous memory but
 * behaves differently (MADV_DONTNEED brings back the file's bytes), so no process
 * runs on one.
 */
#ifndef CCR_PLUGIN_FROM_FILE_H
#define CCR_PLUGIN_FROM_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/remap.h"

struct injection;

struct from_file_list {
	struct from_file {
		struct remap_mapping mapping;
		struct ccr_pages_mapping piece; /* the same range, and its place in the file */
	} * list;				/* the caller frees it */
	size_t nr, room;
};

/* Finds the mappings of page files in the task that are not the driver's: none if the manifest has
 * emptied mappings. Returns 0 or -errno. */
int ccr__from_file_find(struct from_file_list *found, pid_t pid, const struct ccr_pages *pages);
/* Maps anonymous memory in their place, readable and writable. Returns 0 or -errno. */
int ccr__from_file_replace(const struct from_file_list *found, struct injection *in);
/* Once they are filled: their own protection. Returns 0 or -errno. */
int ccr__from_file_protect(const struct from_file_list *found, struct injection *in);

#endif
