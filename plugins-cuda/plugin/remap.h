// SPDX-License-Identifier: GPL-2.0-only
/* Between the steps of a remap: choose what, copy it, map the copy. */
#ifndef CCR_PLUGIN_REMAP_H
#define CCR_PLUGIN_REMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a mapping has that the new one must have too; bits of remap_segment.advice. */
enum remap_advice {
	REMAP_DONTFORK = 1,
	REMAP_DONTDUMP = 2,
	REMAP_HUGEPAGE = 4,
	REMAP_NOHUGEPAGE = 8,
	REMAP_SEQUENTIAL = 16,
	REMAP_RANDOM = 32,
	REMAP_NORESERVE = 64, /* a flag of mmap, not of madvise */
};

/* A piece of one mapping that is to be mapped from the file. Bytes, multiples of a page. */
struct remap_segment {
	uint64_t address, size, offset;
	int prot;
	unsigned int advice;
};

/* Pages of a segment that hold something; what lies between them is a hole in the file. */
struct remap_run {
	uint64_t address, size, offset;
};

struct remap_plan {
	struct remap_segment *segments; /* by address, and so by offset */
	size_t nr_segments;
	struct remap_run *runs; /* likewise */
	size_t nr_runs;
	uint64_t file_size, stored; /* bytes; stored: of all runs */
};

/*
 * Reads what the task has mapped. Pieces are `min_bytes` long at least; memory
 * that is mapped from an earlier page file is always taken. 0, also with
 * nothing chosen, or -errno.
 */
int ccr__remap_choose(struct remap_plan *plan, pid_t pid, uint64_t min_bytes);
void ccr__remap_free(struct remap_plan *plan);

/* Chunks of the page file that have a checksum each. */
#define REMAP_CHUNK (4ull << 20)

/*
 * Copies the runs with `threads` threads to the file, which has its size
 * already, and fills in the checksum of every chunk. 0 or -errno.
 */
int ccr__remap_copy(const struct remap_plan *plan, pid_t pid, int fd, unsigned int threads,
		    uint64_t *xxh3);

/*
 * Maps the segments in the task from `fd`, a descriptor of criu for the file as
 * the task sees it. `mapped` is how many it became: those before it in the
 * plan. 0: the task is sound, even if it is less than all; -errno: it is not.
 */
int ccr__remap_map(const struct remap_plan *plan, pid_t pid, int fd, size_t *mapped);

#endif
