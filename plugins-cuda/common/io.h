// SPDX-License-Identifier: MIT
/*
 * Complete transfers on descriptors: interrupted and short calls are continued.
 * Each function returns 0 when every byte was moved, -ENODATA when the file ended
 * first (reads), or another -errno. They print nothing; any thread may call them.
 */
#ifndef CCR_IO_H
#define CCR_IO_H

#include <stddef.h>
#include <stdint.h>

int ccr_io_write_full(int fd, const void *buffer, size_t size);
int ccr_io_pread_full(int fd, void *buffer, size_t size, uint64_t offset);
int ccr_io_pwrite_full(int fd, const void *buffer, size_t size, uint64_t offset);

#endif
