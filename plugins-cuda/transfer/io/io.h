// SPDX-License-Identifier: MIT
/*
 * Back-ends that read and write stripes. A back-end is a table of functions.
 * Files are prepared once per job; a queue belongs to one thread. Buffers,
 * offsets and lengths are multiples of 4 KiB. Only the length of a read may be
 * any number; for the direct back-end, the buffer then has room up to the end
 * of the page.
 */
#ifndef CCR_TRANSFER_IO_H
#define CCR_TRANSFER_IO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/settings/settings.h"

struct ccr_io_ring; /* one thread's io_uring (direct.c) */

/* What a back-end has per thread. Zero it before use; ccr_io_queue_end frees it. */
struct ccr_io_queue {
	struct ccr_io_ring *ring;
	bool is_refused; /* the kernel refused io_uring: use ordinary system calls */
};

/* A stripe, for one job. Any thread may read it; only one may write it. */
struct ccr_io_file {
	int fd;
	const char *name;
	uint64_t size;	       /* length of the file, when reading */
	int saved_flags;       /* of the descriptor, restored at the end */
	atomic_bool is_direct; /* the file system accepts O_DIRECT and our alignment */
	uint64_t set_aside;    /* bytes allocated on the disk, when writing */
	void *map;
};

struct ccr_io_ops {
	const char *name;
	uint32_t read_piece, write_piece; /* bytes; 0 is a whole buffer */
	/*
	 * Cannot fail: without O_DIRECT or mmap the file is read and written in
	 * the ordinary way.
	 */
	void (*begin)(struct ccr_io_file *file, bool is_write);
	void (*end)(struct ccr_io_file *file);
	int (*read)(struct ccr_io_queue *queue, struct ccr_io_file *file, void *buffer,
		    size_t length, uint64_t offset);
	int (*write)(struct ccr_io_queue *queue, struct ccr_io_file *file, const void *buffer,
		     size_t length, uint64_t offset);
};

extern const struct ccr_io_ops ccr_io_pread, ccr_io_direct, ccr_io_mmap;

/* The back-end for `io` on the file system of `fd`. */
const struct ccr_io_ops *ccr_io_select(enum ccr_io io, int fd);
void ccr_io_queue_end(struct ccr_io_queue *queue);

#endif
