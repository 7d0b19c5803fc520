// SPDX-License-Identifier: GPL-2.0-only
/* The page file and the manifest of one task, from their creation to their removal. */
#ifndef CCR_PLUGIN_PAGE_FILE_H
#define CCR_PLUGIN_PAGE_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/remap.h"
#include "plugin/task/state.h"

/* The images directory, where page files are. */
struct pages_dir {
	int dirfd;	     /* criu's; not ours to close */
	char path[PATH_MAX]; /* of the directory */
	bool is_foreign;     /* the task has a mount namespace of its own */
	bool is_visible;     /* the path leads to the same directory in the task */
};

void ccr__pages_dir_find(struct pages_dir *dir, pid_t pid);

/* Names it. Returns NULL when out of memory; ccr_pages_close frees it. */
struct ccr_pages *ccr__page_file_new(const struct pages_dir *dir, pid_t image_pid);
/* Describes what the plan stores. Returns 0 or -ENOMEM. */
int ccr__page_file_describe(struct ccr_pages *pages, const struct remap_plan *plan);

/* Creates the page file, which is empty. Returns its descriptor, or -errno with a sentence in
 * `error`. */
int ccr__page_file_create(const struct ccr_pages *pages, const struct pages_dir *dir, char *error,
			  size_t error_size);
/*
 * Once it is filled: closes it, writes the manifest, and removes the page file of an earlier dump
 * to the directory. `ret`: -errno if it could not be filled. Returns 0; or -errno, `ret` or its
 * own, with a sentence in `error`: neither file is there.
 */
int ccr__page_file_finish(struct ccr_pages *pages, const struct pages_dir *dir, int fd, int ret,
			  char *error, size_t error_size);

/* Opens the page file as the task sees it, for reading only. Returns the descriptor, or -errno when
 * the task does not see it. */
int ccr__page_file_open_in(const struct ccr_pages *pages, const struct pages_dir *dir, pid_t pid);

#endif
