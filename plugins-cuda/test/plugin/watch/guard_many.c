// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guards of many processes at a time, as for a large tree. The tracer and its
 * watcher are killed, one after the other or at the same time; all processes must be
 * killed by that, and none while one of both lives. A descriptor that CRIU keeps at a
 * fixed number stays what it is.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugin/watch/guard.h"
#include "test/check.h"

#define PROCESSES 600
#define FIXED	  1020 /* as CRIU with a limit of 1024 */

static pid_t pids[PROCESSES];

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static void start_processes(void)
{
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

struct packet {
	struct iovec iov;
	struct msghdr msg;
	pid_t pid;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(GUARD_FDS * sizeof(int))];
	} control;
};

static struct msghdr *prepare(struct packet *packet)
{
	packet->iov = (struct iovec){&packet->pid, sizeof(packet->pid)};
	packet->msg = (struct msghdr){.msg_iov = &packet->iov,
				      .msg_iovlen = 1,
				      .msg_control = &packet->control,
				      .msg_controllen = sizeof(packet->control)};
	return &packet->msg;
}

static void send_guard(int socket, pid_t pid, const int fds[GUARD_FDS])
{
	struct packet packet = {.pid = pid,
				.control.head = {.cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(GUARD_FDS * sizeof(int))}};
	char answer;

	memcpy(CMSG_DATA(&packet.control.head), fds, GUARD_FDS * sizeof(int));
	if (sendmsg(socket, prepare(&packet), 0) != sizeof(pid) || read(socket, &answer, 1) != 1)
		_exit(2);
}

static void be_watcher(int socket)
{
	int fds[GUARD_FDS];
	struct packet packet;

	for (int fd = 3; fd < 40000; fd++)
		if (fd != socket)
			close(fd);
	ccr__guard_watch();
	while (recvmsg(socket, prepare(&packet), 0) == sizeof(packet.pid)) {
		memcpy(fds, CMSG_DATA(&packet.control.head), sizeof(fds));
		if (ccr__guard_take(packet.pid, false, fds) || write(socket, "", 1) != 1)
			_exit(4);
	}
	for (;;)
		pause();
}

static void be_tracer(int ready)
{
	const struct rlimit low = {1024, 8192};
	int sockets[2], fds[GUARD_FDS];
	struct stat before, after;
	pid_t watcher;

	setrlimit(RLIMIT_NOFILE, &low);
	if (dup2(open("/dev/null", O_RDONLY), FIXED) != FIXED || fstat(FIXED, &before))
		_exit(5);
	ccr__guard_create();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets))
		_exit(6);
	watcher = fork();
	if (!watcher)
		be_watcher(sockets[1]);
	for (int i = 0; i < PROCESSES; i++) {
		if (ccr__guard_add(pids[i], false, fds) != 1)
			_exit(7);
		for (int j = 0; j < GUARD_FDS; j++)
			if (fds[j] <= FIXED)
				_exit(8);
		send_guard(sockets[0], pids[i], fds);
		if (ccr__guard_kill(pids[i], true))
			_exit(9);
	}
	if (fstat(FIXED, &after) || before.st_rdev != after.st_rdev)
		_exit(10);
	if (write(ready, &watcher, sizeof(watcher)) != sizeof(watcher))
		_exit(11);
	for (;;)
		pause();
}

static int count_dead(void)
{
	int nr = 0, status;

	for (int i = 0; i < PROCESSES; i++)
		if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
			nr++;
			CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
			pids[i] = 0;
		}
	return nr;
}

/* The watcher is the tracer's child. */
static void kill_one(pid_t pid)
{
	const int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};

	kill(pid, SIGKILL);
	CHECK(poll(&poller, 1, -1) == 1);
	close(pidfd);
}

enum order { TRACER_FIRST, WATCHER_FIRST, AT_ONCE, NR_ORDERS };

static void kill_both(enum order order, pid_t tracer, pid_t watcher)
{
	if (order != AT_ONCE) {
		kill_one(order == TRACER_FIRST ? tracer : watcher);
		CHECK(count_dead() == 0);
	}
	kill(tracer, SIGKILL);
	kill(watcher, SIGKILL);
}

static void run(enum order order)
{
	int ready[2], status, dead;
	pid_t tracer, watcher = 0;

	start_processes();
	CHECK(!pipe(ready));
	tracer = fork();
	if (!tracer)
		be_tracer(ready[1]);
	close(ready[1]);
	CHECK(read(ready[0], &watcher, sizeof(watcher)) == sizeof(watcher));
	close(ready[0]);
	if (watcher) {
		kill_both(order, tracer, watcher);
		waitpid(tracer, &status, 0);
		waitpid(watcher, &status, 0);
		for (dead = 0; dead < PROCESSES; nap())
			dead += count_dead();
		return;
	}
	waitpid(tracer, &status, 0);
	printf("the tracer ended with %d\n", WEXITSTATUS(status));
	for (int i = 0; i < PROCESSES; i++)
		kill(pids[i], SIGKILL);
}

int main(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* the watcher is the tracer's child */
	alarm(60);
	for (int round = 0; round < 2 * NR_ORDERS; round++)
		run(round % NR_ORDERS);
	return failures ? 1 : 0;
}
