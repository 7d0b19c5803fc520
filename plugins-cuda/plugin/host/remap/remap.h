// SPDX-License-Identifier: GPL-2.0-only
/* The steps of a remap: choose memory, copy it, map the copy. Undo reverses it. */
#ifndef CCR_PLUGIN_REMAP_H
#define CCR_PLUGIN_REMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Properties of a mapping that its replacement must have too; bits of remap_segment.advice. */
enum remap_advice {
	REMAP_DONTFORK = 1,
	REMAP_DONTDUMP = 2,
	REMAP_HUGEPAGE = 4,
	REMAP_NOHUGEPAGE = 8,
	REMAP_SEQUENTIAL = 16,
	REMAP_RANDOM = 32,
	REMAP_NORESERVE = 64, /* a flag of mmap, not of madvise */
};

/* A piece of one mapping that will be mapped from the file. Sizes in bytes, multiples of a page. */
struct remap_segment {
	uint64_t address, size, offset;
	int prot;
	unsigned int advice;
	bool is_shared;	 /* shared anonymous memory that no other task has mapped */
	bool is_drivers; /* the driver allocated it for its checkpoint; a restore frees it */
};

/* Pages of a segment that hold data; between two runs the file has a hole. */
struct remap_run {
	uint64_t address, size, offset;
};

struct remap_plan {
	struct remap_segment *segments; /* in order of addresses, and so of offsets */
	size_t nr_segments;
	struct remap_run *runs; /* in the same order */
	size_t nr_runs;
	uint64_t file_size, stored; /* in bytes; stored: the sum of all runs */
};

/* Ranges of mapped addresses, in order. */
struct remap_ranges {
	struct remap_range {
		uint64_t start, end;
	} * list; /* the caller frees it */
	size_t nr, room;
};
/* Reads all ranges of the task. Returns 0 or -errno; the caller frees the list in both cases. */
int ccr__remap_ranges(struct remap_ranges *ranges, pid_t pid);
/* Adds a range that overlaps none of the others. Returns 0 or -ENOMEM. */
int ccr__remap_add_range(struct remap_ranges *ranges, const struct remap_range *range);
/* Finds the first piece between `start` and `end` outside all ranges, of `min_bytes` or more. */
bool ccr__remap_find_new(const struct remap_ranges *ranges, uint64_t start, uint64_t end,
			 uint64_t min_bytes, struct remap_range *found);

/*
 * Chooses what to map from a page file. Each segment has at least `min_bytes`;
 * memory that is mapped from an earlier page file is always chosen. Memory
 * outside the ranges in `before` is the driver's; with NULL, none is. Returns 0,
 * also when nothing was chosen, or -errno. The caller frees the plan either way.
 */
int ccr__remap_choose(struct remap_plan *plan, pid_t pid, uint64_t min_bytes,
		      const struct remap_ranges *before);
void ccr__remap_free(struct remap_plan *plan);

/* The page file has one checksum for each chunk of this size. */
#define REMAP_CHUNK (4ull << 20)

/*
 * Copies the runs to the file with many threads, and fills in the checksum of
 * every chunk. The file must already have its size. Returns 0 or -errno.
 */
int ccr__remap_copy(const struct remap_plan *plan, pid_t pid, int fd, uint64_t *xxh3);

/*
 * Maps the segments in the task from `fd`, criu's descriptor for the file as the
 * task sees it. Sets `mapped` to the number of segments that were mapped, the
 * first ones of the plan. Returns 0 when the task's memory is intact, even if
 * not all segments were mapped, or -errno when it is not.
 */
int ccr__remap_map(const struct remap_plan *plan, pid_t pid, int fd, size_t *mapped);

struct ccr_pages;
/*
 * The reverse: what the task has mapped from page files becomes anonymous memory
 * with its current bytes, private or shared as the manifest says. Leaves out
 * what is the driver's. Sets `bytes` to the size. Returns 0, or -errno: the task
 * keeps some page-file mappings and can run with them, or was killed.
 */
int ccr__remap_undo(pid_t pid, const struct ccr_pages *pages, uint64_t *bytes);

struct injection;
/* Calls madvise in the task for the bits in `advice`. Returns 0 or -errno. */
int ccr__remap_advise(struct injection *in, uint64_t address, uint64_t size, unsigned int advice);
/* True when readable memory is mapped at the address. */
bool ccr__remap_is_mapped(pid_t pid, uint64_t address);

/* Calls `run` on as many threads as CRIU_CUDA_STREAMS and the CPUs allow, until all have ended. */
void ccr__remap_threads(void *(*run)(void *data), void *data);

static inline bool ccr__same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

#endif
