// SPDX-License-Identifier: MIT
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Opened so that it may grow between a dump and its restore: CRIU compares the size of others. */
static int open_log(const struct launch *launch)
{
	if (launch->log)
		return open(launch->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static int set_stdin(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fd < 0 || dup2(fd, STDIN_FILENO) < 0 ? -errno : 0;
}

static int set_output(const struct launch *launch)
{
	int fd = open_log(launch);

	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		return -errno;
	return 0;
}

static int set_streams(const struct launch *launch)
{
	int ret = launch->detaches ? set_stdin() : 0;

	if (!ret && (launch->detaches || launch->log))
		ret = set_output(launch);
	return ret;
}

static void filter(const struct launch *launch, const struct launch_origin *origin)
{
	bool gained_no_new_privs;
	int ret = launch_filter_io_uring(&gained_no_new_privs);

	if (ret)
		launch_say(launch, origin,
			   "io_uring stays allowed, and a program that uses it cannot be dumped: "
			   "seccomp: %s",
			   strerror(-ret));
	else if (gained_no_new_privs)
		launch_say(launch, origin,
			   "set-user-id programs that %s starts gain no rights; run as root, or "
			   "with --allow-io-uring, to avoid it",
			   launch->argv[0]);
}

void launch_become(const struct launch *launch, const struct launch_origin *origin)
{
	int ret = set_streams(launch);

	if (ret) {
		launch_fail(launch, origin, "cannot open %s: %s",
			    launch->log ? launch->log : "/dev/null", strerror(-ret));
		return;
	}
	ret = launch_begin_generation();
	if (ret)
		launch_say(launch, origin, "%s cannot learn that it was restored: %s",
			   launch->argv[0], strerror(-ret));
	for (char **variable = launch->env; *variable; variable++)
		putenv(*variable);
	if (!launch->allows_io_uring)
		filter(launch, origin);
	signal(SIGCHLD, origin->on_child);
	sigprocmask(SIG_SETMASK, &origin->mask, NULL);
	execvp(launch->argv[0], launch->argv);
	launch_fail(launch, origin, "cannot run %s: %s", launch->argv[0], strerror(errno));
}
