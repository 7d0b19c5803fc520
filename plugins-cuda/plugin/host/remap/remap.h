// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of a dump: choose mappings, copy their bytes to the page file, empty
 * them. A restore and an undo fill them again.
 */
#ifndef CCR_PLUGIN_REMAP_H
#define CCR_PLUGIN_REMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "plugin/threads/queue.h"

/* A whole mapping of the task, or all that the driver or the program has of one. Sizes in bytes,
 * multiples of a page. */
struct remap_mapping {
	uint64_t address, size;
	uint64_t data; /* in its runs */
	int prot;
	unsigned int flags; /* enum mapping_flags */
	bool is_shared;	    /* shared anonymous memory that no other task has mapped */
	bool is_drivers;    /* the driver allocated it for its checkpoint; a restore frees it */
	bool is_mapped;	    /* will be a mapping of the page file; otherwise it is emptied */
	bool is_page_file;  /* is a mapping of an earlier page file */
	bool is_in_use;	    /* the kernel needs a part of it even while the task is stopped */
	bool may_be_late;   /* a restore may fill it while the driver restores the task */
	bool keeps_access; /* its access rights are not taken away: in use, or a child has it too */
	size_t first_run, nr_runs;
};

/* A piece of a mapping, and its place in the page file. */
struct remap_piece {
	uint64_t address, size, offset;
	const struct remap_mapping *mapping;
};

/* Pages that hold data. */
struct remap_run {
	uint64_t address, size;
};

/* What a piece has of one run; between two parts of a piece the file has a hole. */
struct remap_part {
	uint64_t address, size, offset;
};

/* A range of addresses. */
struct remap_range {
	uint64_t start, end;
};

/* Ranges of addresses, in order. */
struct remap_ranges {
	struct remap_range *list; /* the caller frees it */
	size_t nr, room;
};

/* All lists but the parts are in order of addresses. */
struct remap_plan {
	struct remap_mapping *mappings;
	size_t nr_mappings;
	struct remap_piece *pieces;
	size_t nr_pieces;
	struct remap_run *runs;
	size_t nr_runs;
	struct remap_part *parts; /* in order of offsets */
	size_t nr_parts;
	struct remap_ranges in_use; /* pages that stay in place; see in_use.c */
	uint64_t file_size, stored; /* in bytes; stored: the sum of all parts */
};

/* Reads all ranges that the task has mapped. Returns 0 or -errno; the caller frees the list in both
 * cases. */
int ccr__remap_ranges(struct remap_ranges *ranges, pid_t pid);
/* Adds a range; those that it overlaps or touches become one with it. Returns 0 or -ENOMEM. */
int ccr__remap_add_range(struct remap_ranges *ranges, const struct remap_range *range);
/* Finds the first piece between `start` and `end` outside all ranges, of `min_bytes` or more. */
bool ccr__remap_find_new(const struct remap_ranges *ranges, uint64_t start, uint64_t end,
			 uint64_t min_bytes, struct remap_range *found);
/* The index of the first range that ends after `address`; `nr` if there is none. */
size_t ccr__remap_find_range(const struct remap_ranges *ranges, uint64_t address);

/*
 * Finds the pages that the kernel reads or writes for a thread of the stopped
 * task although no instruction of the task runs. Returns 0 or -errno; the caller
 * frees the list in both cases.
 */
int ccr__remap_in_use(struct remap_ranges *ranges, pid_t pid);

/*
 * Reads all ranges that the children of the task have mapped. Returns 0 or -errno; the
 * caller frees the list in both cases.
 */
int ccr__remap_children(struct remap_ranges *ranges, pid_t pid);

/* What ccr__remap_choose looks for. */
struct remap_wishes {
	uint64_t min_bytes;		   /* of data in a mapping */
	const struct remap_ranges *before; /* memory outside is the driver's; NULL: none is */
	bool can_map;			   /* the driver's memory may be mapped from the file */
	bool is_unpinned;		   /* the driver pins no memory of the program */
	/* What is chosen is only to be copied, while a thread of the task runs. Another thread than
	 * criu's main one may choose it. The driver's memory is left out. */
	bool is_early;
	/* What was chosen and copied so: its bytes keep their places in the file. NULL: nothing. */
	const struct remap_plan *early;
};

/*
 * Chooses mappings, those with most data first. Returns 0, also when nothing was
 * chosen, or -errno. The caller frees the plan either way.
 */
int ccr__remap_choose(struct remap_plan *plan, pid_t pid, const struct remap_wishes *wishes);
void ccr__remap_free(struct remap_plan *plan);
/* The last step of it: makes the pieces and parts, and gives them their places in the file.
 * `early` may be NULL. Returns 0 or -errno. */
int ccr__remap_lay_out(struct remap_plan *plan, const struct remap_plan *early);
/* Adds a piece behind all others of an early plan, for memory that does not have its bytes yet. The
 * rest of the plan stays as it is. Returns 0 with its offset, or -ENOMEM. */
int ccr__remap_expect(struct remap_plan *early, const struct remap_range *range, uint64_t *offset);

/* /proc/PID/pagemap */
struct remap_pagemap {
	int fd;
	uint64_t page, zero_frame; /* the size of a page; the frame of the page of zeroes, or 0 */
};
/* Opens it. Returns 0 or -errno; the caller closes `fd`. */
int ccr__remap_pagemap_open(struct remap_pagemap *pagemap, pid_t pid);
/*
 * Adds the runs of one private mapping between two addresses to the plan, without the pages in use.
 * Sets `shared` to the bytes in them that another process has mapped, too, until one of them
 * writes. Returns 0; -ENOTSUP when the mapping has guard pages; or another -errno.
 */
int ccr__remap_add_runs(struct remap_plan *plan, const struct remap_pagemap *pagemap,
			uint64_t start, uint64_t end, uint64_t *shared);
/* Adds one run, which touches none before it. Returns 0 or -ENOMEM. */
int ccr__remap_add_run(struct remap_plan *plan, uint64_t address, uint64_t size);

/* The page file has one checksum for each chunk of this size. */
#define REMAP_CHUNK (4ull << 20)

/*
 * Copies the parts to the file, and fills in the checksum of every chunk. The file must already
 * have its size. After ccr__remap_copy_begin, which returns 0 or -errno, the work has to be done;
 * then ccr__remap_copy_end frees all but the file. `plan` and `xxh3` must stay until then.
 */
struct remap_copy;
int ccr__remap_copy_begin(struct remap_copy **copy, const struct remap_plan *plan, pid_t pid,
			  int fd, uint64_t *xxh3);
struct work *ccr__remap_copy_work(struct remap_copy *copy);
void ccr__remap_copy_end(struct remap_copy *copy);

/*
 * The same with a copy that begins earlier, while the memory may still change; the work is what can
 * be read of an early plan, and cannot fail. Once it is done, which ccr__remap_copy_stop makes
 * soon, ccr__remap_copy_again continues as if by ccr__remap_copy_begin: all parts of `plan`, which
 * was chosen with the early one, are read again, and what differs from the file is copied.
 */
int ccr__remap_copy_early(struct remap_copy **copy, const struct remap_plan *early, pid_t pid,
			  int fd);
void ccr__remap_copy_stop(struct remap_copy *copy);
int ccr__remap_copy_again(struct remap_copy *copy, const struct remap_plan *plan, int fd,
			  uint64_t *xxh3);
/* What was copied early, and what of it was copied once more; in bytes. */
void ccr__remap_copy_count(const struct remap_copy *copy, uint64_t *early, uint64_t *again);

/*
 * Empties the mappings of the task, or maps the page file there: `fd` is criu's
 * descriptor for the file as the task sees it, -1 if it does not. A mapping that
 * the kernel refuses to empty keeps its bytes. Returns 0 with the number of
 * mappings in `emptied`; -ENOTSUP when nothing was done; or another -errno: the
 * task must be filled before it runs.
 */
int ccr__remap_empty(const struct remap_plan *plan, pid_t pid, int fd, size_t *emptied);

struct ccr_pages;
/*
 * Fills the emptied mappings of a stopped task from the page file `fd`, with many threads, and
 * compares every chunk that is used with its checksum. Mappings of the page file in which images of
 * 0.2.0 have the program's own memory become anonymous memory first. Sets `bytes` to what was
 * filled. Returns 0; -EBADMSG when the page file is not what was written, with the chunk in the
 * log; or another -errno. Unless it returns 0, the task must not run.
 */
int ccr__remap_fill(pid_t pid, const struct ccr_pages *pages, int fd, uint64_t *bytes);

/*
 * The same in steps. ccr__remap_fill_begin makes the memory writable; then the work has to be done;
 * ccr__remap_fill_first_end takes its result, and protects the memory again. `driver_waits`:
 * the driver's restore comes next. Then, if some of the memory is late, there is more work
 * (ccr__remap_fill_late_work, NULL if not), which may still be done while the driver restores the
 * task; but when ccr__remap_fill_failure is not 0, the driver may wait forever.
 * ccr__remap_fill_end takes the result of both when the restore thread is stopped. -ECANCELED: the
 * task is given up; it has to be killed, and then ccr__late_forget to be called. `pages` and `fd`
 * must stay open until then.
 */
struct remap_fill;
struct remap_filled {
	uint64_t bytes, late; /* all, and what was late */
	uint64_t faults;      /* how often the restore thread has waited for late memory */
};
int ccr__remap_fill_begin(struct remap_fill **fill, pid_t pid, const struct ccr_pages *pages,
			  int fd, bool driver_waits);
struct work *ccr__remap_fill_work(struct remap_fill *fill);
struct work *ccr__remap_fill_late_work(struct remap_fill *fill);
int ccr__remap_fill_failure(const struct remap_fill *fill);
int ccr__remap_fill_first_end(struct remap_fill *fill, int result);
int ccr__remap_fill_end(struct remap_fill *fill, int result, struct remap_filled *filled);

/*
 * Compares the chunks that a restored task maps from the page file, while the driver reads them:
 * the work has nothing to do if there are none, and fails with -EBADMSG when the file is not what
 * was written. `pages` and `fd` must stay open until the end, which logs why. NULL: out of memory.
 */
struct remap_compare;
struct remap_compare *ccr__remap_compare_new(const struct ccr_pages *pages, int fd);
struct work *ccr__remap_compare_work(struct remap_compare *compare);
void ccr__remap_compare_end(struct remap_compare *compare, int result);

struct injection;
/* What has happened to the pages of a mapping. */
struct remap_dropped {
	bool is_any; /* some were taken: it must be filled again */
	int error;   /* -errno: the kernel has refused to take others, or all of them */
};
/*
 * Takes the pages of all mappings that are emptied, but those in use, with the thread of the
 * injection and others of the task. `dropped` has one zeroed record for each mapping of the plan.
 * Returns 0 or -errno.
 */
int ccr__remap_drop(const struct remap_plan *plan, struct injection *leader,
		    struct remap_dropped *dropped);

/*
 * Maps anonymous memory in place of the mapping, private or shared as `is_shared` says, with its
 * flags and the protection `prot`. Returns 0 or -errno.
 */
int ccr__remap_make_anonymous(struct injection *in, const struct remap_mapping *mapping, int prot);

/* Writes `size` bytes to the task, except for pages of zeroes, which are empty there. Returns 0 or
 * -errno. */
int ccr__remap_write(pid_t pid, uint64_t address, const char *bytes, size_t size);

struct ccr_pages_mapping;
/*
 * Gives shared memory of the task huge pages, if the kernel has them, where bytes `start` to `end`
 * of the page file fill them as a whole. Call it before these are written. `pieces` are in order
 * of offsets; the first one that ends after `start` is the first.
 */
void ccr__remap_make_huge(pid_t pid, const struct ccr_pages_mapping *const *pieces, size_t nr,
			  uint64_t start, uint64_t end);

static inline bool ccr__same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

#endif
