// SPDX-License-Identifier: MIT
/*
 * New namespaces, and their first process. A dump does not save it: criu runs beside the
 * tree, in the same namespaces. The kernel ends all processes of the namespaces with it.
 */
#include "isolate/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A caller passes fewer descriptors. */
enum { MAX_INHERITED = 64 };

/* Criu and its helpers get none of the pids that the tree had. */
static int set_last_pid(pid_t pid)
{
	const int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : 0;

	if (!ret && dprintf(fd, "%d", pid) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

/* The machine's mounts are seen when they are made, but none of ours gets out. */
static int prepare_mounts(const struct isolate *isolate)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		return isolate_fail(isolate, "cannot separate the mounts");
	for (char **dir = isolate->dirs; *dir; dir++) {
		const int ret = isolate_private_dir(*dir, isolate->files);

		if (ret) {
			errno = -ret;
			return isolate_fail(isolate, "cannot make %s private", *dir);
		}
	}
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return isolate_fail(isolate, "cannot mount /proc");
	return 0;
}

static int prepare(const struct isolate *isolate)
{
	char cwd[PATH_MAX];
	int ret;

	if (!getcwd(cwd, sizeof(cwd)))
		strcpy(cwd, "/");
	ret = prepare_mounts(isolate);
	if (ret)
		return ret;
	if (chdir(cwd) && chdir("/"))
		return isolate_fail(isolate, "cannot enter /");
	ret = isolate->network ? isolate_start_loopback() : 0;
	if (ret) {
		errno = -ret;
		return isolate_fail(isolate, "cannot start the loopback device");
	}
	ret = isolate->last_pid ? set_last_pid(isolate->last_pid) : 0;
	if (ret) {
		errno = -ret;
		return isolate_fail(isolate, "cannot choose pids");
	}
	return 0;
}

/* Those who read the output of the program must not wait for this process. */
static void leave_caller(const struct isolate *isolate)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	for (int fd = 3; fd < MAX_INHERITED; fd++) {
		if (fd != isolate->report)
			close(fd);
	}
	(void)!chdir("/");
}

/* Collects everything until nothing is left. */
static int stay(const struct isolate *isolate)
{
	int status;
	pid_t pid;

	while ((pid = wait(&status)) > 0 || errno == EINTR) {
		if (pid > 0)
			isolate_say_ended(isolate, pid, status);
	}
	return 0;
}

static int run_first(const struct isolate *isolate)
{
	pid_t pid;

	prctl(PR_SET_NAME, "criu-cuda-init");
	if (setsid() < 0)
		return isolate_fail(isolate, "cannot begin a session");
	if (prepare(isolate))
		return ISOLATE_USAGE;
	pid = fork();
	if (pid < 0) {
		isolate_fail(isolate, "cannot fork");
		return ISOLATE_USAGE;
	}
	if (!pid) {
		signal(SIGPIPE, SIG_DFL);
		isolate_execute(isolate);
		_exit(ISOLATE_USAGE);
	}
	leave_caller(isolate);
	return stay(isolate);
}

int isolate_new(const struct isolate *isolate)
{
	const int kinds = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
	char line[64];
	pid_t pid;

	if (unshare(kinds | (isolate->network ? CLONE_NEWNET : 0))) {
		isolate_fail(isolate, "cannot make namespaces");
		return ISOLATE_USAGE;
	}
	pid = fork();
	if (pid < 0) {
		isolate_fail(isolate, "cannot fork");
		return ISOLATE_USAGE;
	}
	if (!pid)
		return run_first(isolate);
	if (isolate->report >= 0) {
		snprintf(line, sizeof(line), "init %d\n", pid);
		(void)!write(isolate->report, line, strlen(line));
	}
	return 0;
}
