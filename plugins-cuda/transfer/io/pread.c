// SPDX-License-Identifier: MIT
/* pread and pwrite, the fastest back-end for files in memory. */
#include "common/io.h"
#include "transfer/io/io.h"

static void begin(struct ccr_io_file *file, bool is_write)
{
}

static void end(struct ccr_io_file *file)
{
}

static int read_file(struct ccr_io_queue *queue, struct ccr_io_file *file, void *buffer,
		     size_t length, uint64_t offset)
{
	return ccr_io_pread_full(file->fd, buffer, length, offset);
}

static int write_file(struct ccr_io_queue *queue, struct ccr_io_file *file, const void *buffer,
		      size_t length, uint64_t offset)
{
	return ccr_io_pwrite_full(file->fd, buffer, length, offset);
}

/* tmpfs allocates pages as large as the write allows: 2 MiB gives a huge page. */
const struct ccr_io_ops ccr_io_pread = {
	.name = "pread",
	.read_piece = 256u << 10,
	.write_piece = 2u << 20,
	.begin = begin,
	.end = end,
	.read = read_file,
	.write = write_file,
};
