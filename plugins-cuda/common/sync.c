// SPDX-License-Identifier: MIT
#include "common/sync.h"

#include <linux/magic.h>
#include <sys/vfs.h>

bool ccr_sync_wanted(long sync, int dirfd)
{
	struct statfs status;

	if (sync != CCR_SYNC_AUTO)
		return sync == CCR_SYNC_ON;
	if (fstatfs(dirfd, &status))
		return true;
	switch ((unsigned long)status.f_type & 0xffffffff) {
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
	case HUGETLBFS_MAGIC:
		return false;
	default:
		return true;
	}
}
