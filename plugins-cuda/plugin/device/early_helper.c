// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/device/early_helper.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "common/protocol/protocol.h"
#include "common/protocol/unix_socket.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

#define VARIABLE "CRIU_CUDA_EARLY_HELPER"

/* A pid in a variable proves nothing: it may be another process's by now. */
static bool is_helper(pid_t pid, const char *program)
{
	char exe[32], dir[32];
	struct stat running, expected, process;

	snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
	snprintf(dir, sizeof(dir), "/proc/%d", pid);
	return !stat(exe, &running) && !stat(program, &expected) && !stat(dir, &process) &&
	       running.st_dev == expected.st_dev && running.st_ino == expected.st_ino &&
	       process.st_uid == geteuid();
}

static int fetch(int pidfd)
{
	const int fd = syscall(SYS_pidfd_getfd, pidfd, CCR_EARLY_SOCKET, 0);
	int ret = fd < 0 ? -errno : fd;

	if (fd >= 0 && !ccr_socket_is_seqpacket(fd)) {
		close(fd);
		ret = -ENOTSOCK;
	}
	/* It has only just started, and would load beside the helper that we start. */
	if (ret < 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	return ret;
}

static int take(pid_t pid, const char *program)
{
	const int pidfd = syscall(SYS_pidfd_open, pid, 0);
	int ret;

	if (pidfd < 0)
		return -errno;
	ret = is_helper(pid, program) ? fetch(pidfd) : -ESRCH;
	close(pidfd);
	return ret;
}

int ccr__early_helper_take(const char *program)
{
	const char *const text = getenv(VARIABLE);
	char *end;
	long pid;
	int fd;

	if (!text || !*text)
		return -ENOENT;
	errno = 0;
	pid = strtol(text, &end, 10);
	fd = errno || *end || pid <= 1 || pid > INT_MAX ? -EINVAL : take(pid, program);
	if (fd < 0)
		ccr_warn("the helper of " VARIABLE "=%.20s is not used: %s", text, strerror(-fd));
	else
		ccr_info("%ld, started before criu, serves this run", pid);
	return fd;
}
