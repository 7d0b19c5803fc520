// SPDX-License-Identifier: MIT
#include "common/io.h"

#include <errno.h>
#include <unistd.h>

/* Interprets the result of one call. Returns the bytes moved, 0 to try again, or -errno. */
static ssize_t outcome(ssize_t moved, int at_end)
{
	if (moved > 0)
		return moved;
	if (moved == 0)
		return at_end;
	return errno == EINTR ? 0 : -errno;
}

int ccr_io_write_full(int fd, const void *buffer, size_t size)
{
	const char *position = buffer;

	while (size) {
		const ssize_t moved = outcome(write(fd, position, size), -ENOSPC);

		if (moved < 0)
			return moved;
		position += moved;
		size -= moved;
	}
	return 0;
}

int ccr_io_pread_full(int fd, void *buffer, size_t size, uint64_t offset)
{
	char *position = buffer;

	while (size) {
		const ssize_t moved = outcome(pread(fd, position, size, offset), -ENODATA);

		if (moved < 0)
			return moved;
		position += moved;
		offset += moved;
		size -= moved;
	}
	return 0;
}

int ccr_io_pwrite_full(int fd, const void *buffer, size_t size, uint64_t offset)
{
	const char *position = buffer;

	while (size) {
		const ssize_t moved = outcome(pwrite(fd, position, size, offset), -ENOSPC);

		if (moved < 0)
			return moved;
		position += moved;
		offset += moved;
		size -= moved;
	}
	return 0;
}
