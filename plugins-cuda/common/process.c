// SPDX-License-Identifier: MIT
#include "common/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define PF_EXITING 0x4 /* in field 9 of /proc/PID/stat; see linux/sched.h */

static FILE *open_file(pid_t tid, const char *name)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, name);
	return fopen(path, "re");
}

static bool has_pending_kill(pid_t tid)
{
	FILE *file = open_file(tid, "status");
	unsigned long long signals, pending = 0;
	char line[256];

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SigPnd: %llx", &signals) == 1 ||
		    sscanf(line, "ShdPnd: %llx", &signals) == 1)
			pending |= signals;
	fclose(file);
	return pending >> (SIGKILL - 1) & 1;
}

/* The name of a program, which is in parentheses, can have some itself. */
static bool is_exiting(FILE *stat)
{
	unsigned long long flags = 0;
	char line[1024];
	const char *end;

	if (!fgets(line, sizeof(line), stat))
		return errno == ESRCH;
	end = strrchr(line, ')');
	return end && sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %llu", &flags) == 1 &&
	       flags & PF_EXITING;
}

/* A thread that takes the signal is exiting a moment later, so the signal is looked for first. */
bool ccr_is_dying(pid_t tid)
{
	FILE *stat;
	bool is_dying;

	if (has_pending_kill(tid))
		return true;
	stat = open_file(tid, "stat");
	if (!stat) /* /proc can hide the processes of others */
		return kill(tid, 0) && errno == ESRCH;
	errno = 0;
	is_dying = is_exiting(stat);
	fclose(stat);
	return is_dying;
}
