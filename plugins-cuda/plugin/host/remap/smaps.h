// SPDX-License-Identifier: GPL-2.0-only
/* The mappings of a task, with what matters for host memory. */
#ifndef CCR_PLUGIN_SMAPS_H
#define CCR_PLUGIN_SMAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Flags of a mapping: advice that a mapping in its place must be given, */
enum mapping_flags {
	MAPPING_DONTFORK = 1,
	MAPPING_DONTDUMP = 2,
	MAPPING_HUGEPAGE = 4,
	MAPPING_NOHUGEPAGE = 8,
	MAPPING_SEQUENTIAL = 16,
	MAPPING_RANDOM = 32,
	/* and how the kernel accounts for it. */
	MAPPING_NORESERVE = 64,
	MAPPING_ACCOUNTED = 128,
};

struct mapping {
	uint64_t start, end;
	uint64_t offset, inode; /* in its file; inode 0: anonymous */
	uint32_t device[2];	/* of the file: major, minor */
	int prot;
	unsigned int flags; /* enum mapping_flags */
	uint64_t in_memory; /* bytes of it that the process has in memory or in swap */
	bool is_private;    /* private and anonymous, or from a page file */
	bool is_shared;	    /* shared and anonymous */
	bool is_page_file;  /* private, from a page file */
	bool is_known;	    /* it has no property that prevents emptying and filling it */
};

/* Calls `each` for every mapping, in order of addresses. Stops and returns the result when `each`
 * does not return 0. Returns -errno when the mappings cannot be read. */
int ccr__smaps_for_each(pid_t pid, int (*each)(const struct mapping *mapping, void *data),
			void *data);

#endif
