// SPDX-License-Identifier: MIT
#include <linux/magic.h>
#include <sys/vfs.h>

#include "transfer/io/io.h"

#ifndef F2FS_SUPER_MAGIC
#define F2FS_SUPER_MAGIC 0xF2F52010
#endif

static const struct ccr_io_ops *by_file_system(int fd)
{
	struct statfs status;

	if (fstatfs(fd, &status))
		return &ccr_io_pread;
	switch ((unsigned long)status.f_type & 0xffffffff) {
	case EXT4_SUPER_MAGIC: /* same for ext2 and ext3 */
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
		return &ccr_io_direct;
	default:
		return &ccr_io_pread;
	}
}

const struct ccr_io_ops *ccr_io_select(enum ccr_io io, int fd)
{
	switch (io) {
	case CCR_IO_PREAD:
		return &ccr_io_pread;
	case CCR_IO_DIRECT:
		return &ccr_io_direct;
	case CCR_IO_MMAP:
		return &ccr_io_mmap;
	case CCR_IO_AUTO:
		break;
	}
	return by_file_system(fd);
}
