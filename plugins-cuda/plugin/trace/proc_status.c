// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/process.h"
#include "plugin/trace/each_thread.h"
#include "plugin/trace/proc_status.h"

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
		snprintf(value, size, "%.*s", (int)strcspn(line + length + 1, "\n"),
			 line + length + 1);
		ret = 0;
	}
	fclose(file);
	return ret;
}

bool ccr__has_signal(pid_t tid, const char *set, int signal)
{
	char text[32];

	return !ccr__proc_status(tid, set, text, sizeof(text)) &&
	       strtoull(text, NULL, 16) >> (signal - 1) & 1;
}

static pid_t pid_in(pid_t tid, const char *field)
{
	char text[32];

	return ccr__proc_status(tid, field, text, sizeof(text)) ? -1 : strtol(text, NULL, 10);
}

pid_t ccr__process_of(pid_t tid)
{
	return pid_in(tid, "Tgid");
}

pid_t ccr__tracer_of(pid_t tid)
{
	return pid_in(tid, "TracerPid");
}

static int is_alive(pid_t tid, void *unused)
{
	return !ccr_is_dying(tid);
}

bool ccr__has_ended(pid_t pid)
{
	return ccr_is_dying(pid) && ccr__each_thread(pid, is_alive, NULL) <= 0;
}

const char *ccr__why_ended(pid_t pid)
{
	if (!ccr_is_dying(pid))
		return NULL;
	return ccr__has_ended(pid) ? "it was killed, or has ended"
				   : "its first thread has ended, and others still run; let them "
				     "end, or keep the first one (no pthread_exit in main)";
}

pid_t ccr__namespace_pid(pid_t pid)
{
	char pids[256];
	const char *last;
	const int ret = ccr__proc_status(pid, "NSpid", pids, sizeof(pids));

	if (ret)
		return ret;
	last = strrchr(pids, '\t');
	return last ? strtol(last, NULL, 10) : -EINVAL;
}
