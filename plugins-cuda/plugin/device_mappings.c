// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of the driver's device files in processes that were forked from a CUDA process. CUDA
 * does not work in such a process, so nothing is lost with what the driver had put there; but their
 * addresses must stay taken. A restore maps an empty file instead: an access ends in SIGBUS, and
 * never gives bytes that are not the device's.
 */
#include "plugin/plugin.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/device_file.h"
#include "plugin/task/task.h"

#define EMPTY_NAME "criu-cuda-device"

int ccr__dump_device_mapping(int fd, const struct stat *st)
{
	char link[32], path[PATH_MAX];
	ssize_t length;

	/* Without CUDA in the tree, the look has not judged what the mapping is. */
	if (!ccr__plugin.tasks)
		return -ENOTSUP;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return -ENOTSUP;
	path[length] = '\0';
	return ccr_device_file_is_drivers(st, path) ? 0 : -ENOTSUP;
}

/* CRIU calls it for each mapping, and closes the descriptor once it has mapped the file. */
int ccr__restore_device_mapping(const char *path, uint64_t address, uint64_t *new_offset, int *fd)
{
	if (!ccr_device_path_is_drivers(path))
		return -ENOTSUP;
	*fd = memfd_create(EMPTY_NAME, MFD_CLOEXEC);
	if (*fd < 0) {
		const int ret = -errno;

		ccr_err("cannot map an empty file in place of %s: %s", path, strerror(errno));
		return ret;
	}
	*new_offset = 0;
	ccr_info("mapping of %s at %#llx: of an empty file from now on", path,
		 (unsigned long long)address);
	return 1;
}
