// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/task/service_thread.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol/protocol.h"
#include "plugin/trace/each_thread.h"

/* Returns its id, which ends the search, or 0. */
static int find(pid_t tid, void *unused)
{
	char path[32], comm[32];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, comm, sizeof(comm) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	comm[len] = '\0';
	return !strcmp(comm, CCR_SERVICE_COMM "\n") || !strcmp(comm, CCR_SERVICE_COMM_GATED "\n")
		       ? tid
		       : 0;
}

pid_t ccr__service_thread(pid_t pid)
{
	return ccr__each_thread(pid, find, NULL);
}
