// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "plugin/plugin.h"

int ccr__proc_status(pid_t pid, const char *field, char *value, size_t size)
{
	const size_t length = strlen(field);
	char path[32], line[256];
	int ret = -ENOENT;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (ret && fgets(line, sizeof(line), file)) {
		if (strncmp(line, field, length) || line[length] != ':')
			continue;
		snprintf(value, size, "%s", line + length + 1);
		ret = 0;
	}
	fclose(file);
	return ret;
}
