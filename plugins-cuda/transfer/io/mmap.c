// SPDX-License-Identifier: MIT
/*
 * Reads from a mapping of the stripe. No system call copies, so we can use wide
 * load instructions. Pages are populated by a call that reports errors. If the
 * file is truncated after that, reading raises SIGBUS, as with any mapping.
 * Writes use pwrite, since a mapping reports a full disk by a signal.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"
#include "transfer/io/io.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static void begin(struct ccr_io_file *file, bool is_write)
{
	file->map = NULL;
	if (is_write || !file->size)
		return;
	file->map = mmap(NULL, file->size, PROT_READ, MAP_SHARED, file->fd, 0);
	if (file->map == MAP_FAILED)
		file->map = NULL;
}

static void end(struct ccr_io_file *file)
{
	if (file->map)
		munmap(file->map, file->size);
	file->map = NULL;
}

static int read_file(struct ccr_io_queue *queue, struct ccr_io_file *file, void *buffer,
		     size_t length, uint64_t offset)
{
	const uint64_t slack = offset % (uint64_t)sysconf(_SC_PAGESIZE);
	char *from = (char *)file->map + offset;

	if (!file->map)
		return ccr_io_pread_full(file->fd, buffer, length, offset);
	while (madvise(from - slack, length + slack, MADV_POPULATE_READ)) {
		if (errno == EINTR || errno == EAGAIN)
			continue;
		/*
		 * Before Linux 5.14 there is no such call. For other failures,
		 * a read reports the cause.
		 */
		return ccr_io_pread_full(file->fd, buffer, length, offset);
	}
	memcpy(buffer, from, length);
	return 0;
}

static int write_file(struct ccr_io_queue *queue, struct ccr_io_file *file, const void *buffer,
		      size_t length, uint64_t offset)
{
	return ccr_io_pwrite_full(file->fd, buffer, length, offset);
}

const struct ccr_io_ops ccr_io_mmap = {
	.name = "mmap",
	.read_piece = 2u << 20,
	.write_piece = 2u << 20,
	.begin = begin,
	.end = end,
	.read = read_file,
	.write = write_file,
};
