// SPDX-License-Identifier: MIT
/*
 * Ways to read and write stripes. A back-end is a table of functions; files are
 * prepared once per job, a queue belongs to one thread. Buffers, offsets and
 * lengths are multiples of 4 KiB, except that lengths of reads need not be for
 * back-ends other than direct (which gets room for the rest of the page).
 */
#ifndef CCR_TRANSFER_IO_H
#define CCR_TRANSFER_IO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/settings/settings.h"

struct ccr_io_ring; /* one thread's io_uring (direct.c) */

/* One thread's part of a back-end; zeroed at first, ended by ccr_io_queue_end. */
struct ccr_io_queue {
	struct ccr_io_ring *ring;
	bool is_refused; /* the kernel gives no io_uring: ordinary system calls */
};

/* One stripe, for one job; reads may come from any thread, writes from one. */
struct ccr_io_file {
	int fd;
	const char *name;
	uint64_t size;	       /* reading: of the file */
	int saved_flags;       /* of the descriptor, put back at the end */
	atomic_bool is_direct; /* O_DIRECT was accepted, and the alignment too */
	uint64_t set_aside;    /* writing: bytes allocated on the disk */
	void *map;
};

struct ccr_io_ops {
	const char *name;
	uint32_t read_piece, write_piece; /* 0: whole buffers */
	/* Cannot fail: a file that takes no O_DIRECT or mmap is used in the ordinary way. */
	void (*begin)(struct ccr_io_file *file, bool is_write);
	void (*end)(struct ccr_io_file *file);
	int (*read)(struct ccr_io_queue *queue, struct ccr_io_file *file, void *buffer,
		    size_t length, uint64_t offset);
	int (*write)(struct ccr_io_queue *queue, struct ccr_io_file *file, const void *buffer,
		     size_t length, uint64_t offset);
};

extern const struct ccr_io_ops ccr_io_pread, ccr_io_direct, ccr_io_mmap;

/* What `io` means for the file system that `fd` is on. */
const struct ccr_io_ops *ccr_io_select(enum ccr_io io, int fd);
void ccr_io_queue_end(struct ccr_io_queue *queue);

#endif
