// SPDX-License-Identifier: MIT
#include "launch/launch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static void reset_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int number = 1; number <= SIGRTMAX; number++)
		sigaction(number, &action, NULL); /* fails for those that are always default */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void reset_stdio(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		int flags = fcntl(fd, F_GETFL);

		if (flags >= 0 && (flags & O_NONBLOCK))
			fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	}
}

static void close_others(int report)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (fd > 2 && fd != report && fd != dirfd(dir))
			close(fd);
	}
	closedir(dir);
}

/* Node raises the soft limit to the hard one. */
static void reset_limit(pid_t parent_of_node)
{
	struct rlimit own, of_parent;

	if (getrlimit(RLIMIT_NOFILE, &own) ||
	    prlimit(parent_of_node, RLIMIT_NOFILE, NULL, &of_parent))
		return;
	if (of_parent.rlim_max != own.rlim_max || of_parent.rlim_cur >= own.rlim_cur)
		return;
	own.rlim_cur = of_parent.rlim_cur;
	setrlimit(RLIMIT_NOFILE, &own);
}

void launch_reset(pid_t parent_of_node, int report)
{
	reset_signals();
	reset_stdio();
	close_others(report);
	reset_limit(parent_of_node);
}
