// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/task/service_thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol/protocol.h"

static bool is_service(int task_dir, const char *tid)
{
	char path[NAME_MAX + 8], comm[32];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/comm", tid);
	fd = openat(task_dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, comm, sizeof(comm) - 1);
	close(fd);
	if (len <= 0)
		return false;
	comm[len] = '\0';
	return !strcmp(comm, CCR_SERVICE_COMM "\n") || !strcmp(comm, CCR_SERVICE_COMM_GATED "\n");
}

pid_t ccr__service_thread(pid_t pid)
{
	struct dirent *entry;
	char path[32];
	pid_t found = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!found && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && is_service(dirfd(dir), entry->d_name))
			found = strtol(entry->d_name, NULL, 10);
	closedir(dir);
	return found;
}
