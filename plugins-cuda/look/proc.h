/* SPDX-License-Identifier: MIT */
/* Lists, and directories of /proc. */
#ifndef CCR_LOOK_PROC_H
#define CCR_LOOK_PROC_H

#include <dirent.h>
#include <stddef.h>

#include "common/machine/text.h"

/* An array that grows. */
struct list {
	void *items;
	size_t count, room;
};

/* Returns the new item, filled with zeros; NULL without memory. */
void *ccr__list_add(struct list *list, size_t size);

/* Opens a directory by its path below `root`. Returns NULL if it cannot be read. */
DIR *ccr__dir_open(int root, const char *path);

#endif
