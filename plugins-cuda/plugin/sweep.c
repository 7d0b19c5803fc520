// SPDX-License-Identifier: GPL-2.0-only
/* A pool removes its sockets as its operations end; one that was killed cannot. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "plugin/plugin.h"
#include "plugin/pool_link.h"

static bool is_left_over(const char *name)
{
	uint32_t operation;
	int end = 0;

	return sscanf(name, CCR_OP_SOCKET_FORMAT "%n", &operation, &end) == 1 && end &&
	       !name[end] && ccr__is_dying(operation >> CCR_OP_PID_SHIFT);
}

void ccr__sweep_sockets(const char *run_dir)
{
	struct dirent *entry;
	DIR *dir = opendir(run_dir);

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (is_left_over(entry->d_name))
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}
