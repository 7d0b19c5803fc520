// SPDX-License-Identifier: GPL-2.0-only
/* Between the steps of a remap: choose what, copy it, map the copy. */
#ifndef CCR_PLUGIN_REMAP_H
#define CCR_PLUGIN_REMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
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
	bool is_shared;	 /* anonymous, and of this task alone */
	bool is_drivers; /* the driver made it for its checkpoint, and removes it at its restore */
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

/* Addresses in use, in order. */
struct remap_ranges {
	struct remap_range {
		uint64_t start, end;
	} * list; /* to be freed */
	size_t nr, room;
};
/* All of the task's; 0 or -errno, with a list to be freed either way. */
int ccr__remap_ranges(struct remap_ranges *ranges, pid_t pid);
/* One more, which is none of them yet; 0 or -ENOMEM. */
int ccr__remap_add_range(struct remap_ranges *ranges, const struct remap_range *range);
/* The first piece of at least `min_bytes` between `start` and `end` that is none of them. */
bool ccr__remap_find_new(const struct remap_ranges *ranges, uint64_t start, uint64_t end,
			 uint64_t min_bytes, struct remap_range *found);

/*
 * Reads what the task has mapped. Pieces are `min_bytes` long at least; memory
 * that is mapped from an earlier page file is always taken. What is not in
 * `before` is the driver's (NULL: nothing is). 0, also with nothing chosen, or
 * -errno.
 */
int ccr__remap_choose(struct remap_plan *plan, pid_t pid, uint64_t min_bytes,
		      const struct remap_ranges *before);
void ccr__remap_free(struct remap_plan *plan);

/* Chunks of the page file that have a checksum each. */
#define REMAP_CHUNK (4ull << 20)

/*
 * Copies the runs with many threads to the file, which has its size
 * already, and fills in the checksum of every chunk. 0 or -errno.
 */
int ccr__remap_copy(const struct remap_plan *plan, pid_t pid, int fd, uint64_t *xxh3);

/*
 * Maps the segments in the task from `fd`, a descriptor of criu for the file as
 * the task sees it. `mapped` is how many it became: those before it in the
 * plan. 0: the task is sound, even if it is less than all; -errno: it is not.
 */
int ccr__remap_map(const struct remap_plan *plan, pid_t pid, int fd, size_t *mapped);

struct ccr_pages;
/*
 * The other way round: what the task has mapped from page files becomes
 * anonymous memory again, private or shared as the manifest says, with the
 * bytes it has now, except for what is the driver's. `bytes` is how much. 0, or -errno: the task is
 * sound but not what it was, or was killed.
 */
int ccr__remap_undo(pid_t pid, const struct ccr_pages *pages, uint64_t *bytes);

struct injection;
/* Gives memory of the task the advice it is to have; 0 or -errno. */
int ccr__remap_advise(struct injection *in, uint64_t address, uint64_t size, unsigned int advice);
/* Whether something readable is mapped there. */
bool ccr__remap_is_there(pid_t pid, uint64_t address);

/* Calls `run` on as many threads as CRIU_CUDA_STREAMS and the processors allow; they are gone when
 * it returns. */
void ccr__remap_threads(void *(*run)(void *data), void *data);

static inline bool ccr__same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

#endif
