// SPDX-License-Identifier: GPL-2.0-only
/* The mappings of a task, as far as a remap can have to do with them. */
#ifndef CCR_PLUGIN_SMAPS_H
#define CCR_PLUGIN_SMAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mapping {
	uint64_t start, end;
	uint64_t offset, inode; /* in its file; inode 0: anonymous */
	int prot;
	unsigned int advice; /* enum remap_advice */
	bool is_private;     /* private and anonymous, or from a page file */
	bool is_shared;	     /* shared and anonymous */
	bool is_page_file;   /* private, from a page file */
	bool is_known;	     /* nothing about it that a new mapping could not have */
};

/* Calls `each` for every mapping, by address, until it returns not 0, which is handed on; or
 * -errno. */
int ccr__smaps_for_each(pid_t pid, int (*each)(const struct mapping *mapping, void *data),
			void *data);

#endif
