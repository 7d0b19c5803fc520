// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "plugin/device/device.h"

bool ccr__gpu_images_in(int dir_fd)
{
	struct dirent *entry;
	bool found = false;
	/* dup would share the file offset with CRIU's descriptor; opening it again does not. */
	const int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);

	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		int pid, end = 0;

		found = sscanf(entry->d_name, "cuda-%d.img%n", &pid, &end) == 1 && end &&
			!entry->d_name[end];
	}
	closedir(dir);
	return found;
}
