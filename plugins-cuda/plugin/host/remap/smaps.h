// SPDX-License-Identifier: GPL-2.0-only
/* The mappings of a task, with what matters for a remap. */
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
	bool is_known;	     /* it has no property that a new mapping could not have */
};

/* Calls `each` for every mapping, in order of addresses. Stops and returns the result when `each`
 * does not return 0. Returns -errno when the mappings cannot be read. */
int ccr__smaps_for_each(pid_t pid, int (*each)(const struct mapping *mapping, void *data),
			void *data);

#endif
