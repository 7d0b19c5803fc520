// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard of a process whose tracer is killed. The target counts in 16 threads;
 * the tracer stops them and arms the guard; the watcher holds its copies. When
 * the tracer is killed, no counter may change. When both are killed, in any
 * order, the target must die without a step. A disarmed guard does nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugin/watch/guard.h"
#include "test/check.h"

#define THREADS 16
#define ROUNDS	30

/* Shared by all processes of this test. */
static struct shared {
	volatile unsigned long counters[THREADS];
	volatile pid_t tids[THREADS];
	volatile bool is_ready;	       /* of the tracer: the guard is armed */
	volatile pid_t watcher, child; /* the tracer's */
} * shared;

static void nap(void)
{
	const struct timespec pause = {.tv_nsec = 200000};

	nanosleep(&pause, NULL);
}

static void *count(void *data)
{
	const long i = (long)data;

	shared->tids[i] = syscall(SYS_gettid);
	for (;;)
		shared->counters[i]++;
	return NULL;
}

static pid_t start_target(void)
{
	const pid_t pid = fork();

	if (pid) {
		for (int i = 0; i < THREADS; i++)
			while (!shared->tids[i] || !shared->counters[i])
				nap();
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (long i = 1; i < THREADS; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, count, (void *)i))
			_exit(1);
	}
	count(NULL);
	_exit(0);
}

static void send_fds(int socket, const int fds[GUARD_FDS])
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(GUARD_FDS * sizeof(int))];
	} control = {.head = {.cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(GUARD_FDS * sizeof(int))}};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.head), fds, GUARD_FDS * sizeof(int));
	if (sendmsg(socket, &msg, 0) != 1 || read(socket, &byte, 1) != 1)
		_exit(2);
}

/* Acknowledges what it has, then waits to be killed. */
static void be_watcher(int socket, pid_t target)
{
	int fds[GUARD_FDS];
	char byte;
	struct iovec iov = {&byte, 1};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(GUARD_FDS * sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	for (int fd = 3; fd < 2000; fd++)
		if (fd != socket)
			close(fd);
	ccr__guard_watch();
	if (recvmsg(socket, &msg, 0) != 1)
		_exit(3);
	memcpy(fds, CMSG_DATA(&control.head), sizeof(fds));
	if (ccr__guard_take(target, false, fds) || write(socket, &byte, 1) != 1)
		_exit(4);
	for (;;)
		pause();
}

static void stop_all(void)
{
	int status;

	for (int i = 0; i < THREADS; i++)
		if (ptrace(PTRACE_SEIZE, shared->tids[i], NULL, 0) ||
		    ptrace(PTRACE_INTERRUPT, shared->tids[i], NULL, 0) ||
		    waitpid(shared->tids[i], &status, __WALL) < 0)
			_exit(5);
}

static void *sleep_long(void *unused)
{
	ccr__guard_enter_thread();
	shared->is_ready = true;
	for (;;)
		pause();
	return NULL;
}

static pid_t start_tracer(pid_t target, bool is_armed)
{
	const pid_t pid = fork();
	int sockets[2], fds[GUARD_FDS];
	pthread_t thread;
	pid_t watcher;

	if (pid) {
		while (!shared->is_ready)
			nap();
		return pid;
	}
	ccr__guard_create();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		_exit(6);
	watcher = fork();
	if (!watcher)
		be_watcher(sockets[1], target);
	shared->watcher = watcher;
	close(sockets[1]);
	stop_all();
	if (ccr__guard_add(target, false, fds) != 1 || ccr__guard_stop(target, false, true))
		_exit(7);
	send_fds(sockets[0], fds);
	if (ccr__guard_kill(target, true))
		_exit(8);
	if (!is_armed)
		ccr__guard_disarm(target, false);
	/* As a criu that is killed while it dumps namespaces, */
	if (!fork()) {
		shared->child = getpid();
		for (;;)
			pause();
	}
	while (!shared->child)
		nap();
	/* and while its threads work. */
	if (pthread_create(&thread, NULL, sleep_long, NULL))
		_exit(9);
	for (;;)
		pause();
}

static unsigned long sum(void)
{
	unsigned long total = 0;

	for (int i = 0; i < THREADS; i++)
		total += shared->counters[i];
	return total;
}

static char state_of(pid_t pid)
{
	char path[32], line[512] = "", *paren;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 'X';
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = '\0';
	close(fd);
	paren = strrchr(line, ')');
	return paren ? paren[2] : 'X';
}

static void reap(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
}

enum order { TRACER_ONLY, TRACER_FIRST, WATCHER_FIRST, NR_ORDERS };

static void end_child(void)
{
	kill(shared->child, SIGKILL);
	reap(shared->child);
}

static void check_dies(pid_t target, unsigned long before)
{
	int status = 0;

	CHECK(waitpid(target, &status, 0) == target);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(sum() == before);
}

static void run(enum order order, bool is_armed)
{
	unsigned long before;
	pid_t target, tracer;

	memset((void *)shared, 0, sizeof(*shared));
	target = start_target();
	tracer = start_tracer(target, is_armed);
	before = sum();
	if (order == WATCHER_FIRST)
		kill(shared->watcher, SIGKILL);
	kill(tracer, SIGKILL);
	if (order == TRACER_FIRST)
		kill(shared->watcher, SIGKILL);
	reap(tracer);
	if (order == TRACER_ONLY && is_armed) {
		while (state_of(target) != 'T')
			nap();
		CHECK(sum() == before);
		kill(shared->watcher, SIGKILL);
	}
	if (is_armed) {
		check_dies(target, before);
		end_child();
		return;
	}
	while (sum() == before)
		nap();
	CHECK(state_of(target) != 'T');
	kill(shared->watcher, SIGKILL);
	kill(target, SIGKILL);
	reap(target);
	end_child();
}

int main(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 1;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	alarm(120);
	for (int round = 0; round < ROUNDS && !failures; round++)
		run(round % NR_ORDERS, true);
	run(TRACER_ONLY, false);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return failures ? 1 : 0;
}
