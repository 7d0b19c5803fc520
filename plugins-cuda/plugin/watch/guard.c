// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guard is made of alarms: pairs of sockets, of which one end, the alarm, belongs to the guarded
 * process and asks for a signal (O_ASYNC, F_SETOWN_EX, F_SETSIG). Linux sends it when the other
 * end, the trigger, is closed for the last time. A process that exits closes its descriptors before
 * it releases the threads that it traces (do_exit: exit_files and exit_task_work, then
 * exit_notify). So the signal is pending before a thread can run.
 *
 * Only criu has the trigger of SIGSTOP; criu and the watcher have that of SIGKILL. Both have the
 * alarms, to arm and to disarm them, and may lose them in any order, also at the same time: an
 * alarm was sent to its own trigger, whose queue holds it until the signal was sent.
 *
 * The signal goes to the whole process, which is enough while all its threads are
 * stopped: the first to run takes it and stops the others, all under one lock. A
 * thread that is injected into while another runs has a guard of its own.
 */
#include "plugin/watch/guard.h"

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* The places of a guard's descriptors; the watcher does not get the last one. */
enum { STOP_ALARM, KILL_ALARM, KILL_TRIGGER, STOP_TRIGGER, NR_FDS };
/* CRIU keeps descriptors at fixed numbers below what was its limit; some of them are open. */
#define CRIU_FIXED 64

struct guard {
	struct guard *next;
	pid_t id;
	bool is_thread; /* the leader of a process may have one as a thread, too */
	int fds[NR_FDS];
};

static struct {
	bool is_open;	/* in criu, at a dump */
	int first, end; /* numbers that descriptors may have */
	struct guard *list;
	/* A thread that starts must find all triggers that are open, and no others, in the list. */
	pthread_mutex_t lock;
} guards = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Moves a descriptor to a number in [min, max). Returns 0 or -errno; it is closed then. */
static int place(int *fd, int min, int max)
{
	const int placed = fcntl(*fd, F_DUPFD_CLOEXEC, min);
	const int ret = placed < 0 ? -errno : placed < max ? 0 : -EMFILE;

	close(*fd);
	*fd = placed;
	if (ret && placed >= 0)
		close(placed);
	if (ret)
		*fd = -1;
	return ret;
}

/* As high as it may be. CRIU does so as well, where it has the right. */
static int raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur < INT_MAX ? (int)limit.rlim_cur : INT_MAX;
}

static int highest_fd(void)
{
	struct dirent *entry;
	int highest = 0;
	DIR *fds = opendir("/proc/self/fd");

	while (fds && (entry = readdir(fds))) {
		const int fd = strtol(entry->d_name, NULL, 10);

		highest = fd > highest ? fd : highest;
	}
	if (fds)
		closedir(fds);
	return highest;
}

static void close_triggers(void)
{
	for (const struct guard *guard = guards.list; guard; guard = guard->next) {
		close(guard->fds[STOP_TRIGGER]);
		if (guard->fds[KILL_TRIGGER] >= 0)
			close(guard->fds[KILL_TRIGGER]);
	}
}

/* CRIU forks for each namespace that it dumps, and such a child may outlive it. */
static void in_child(void)
{
	if (guards.is_open)
		close_triggers();
	guards.is_open = false;
}

int ccr__guard_create(void)
{
	const int limit = raise_limit(), highest = highest_fd();
	const int ret = pthread_atfork(NULL, NULL, in_child);

	if (ret)
		return -ret;

	/* Above or below the descriptors of CRIU that have fixed numbers. */
	guards.first = 0;
	guards.end = highest - CRIU_FIXED;
	if (limit - highest - CRIU_FIXED > guards.end) {
		guards.first = highest + CRIU_FIXED;
		guards.end = limit;
	}
	guards.is_open = true;
	return 0;
}

static int set_signal(int alarm, int signal, pid_t id, bool is_thread)
{
	const struct f_owner_ex owner = {is_thread ? F_OWNER_TID : F_OWNER_PID, id};

	return fcntl(alarm, F_SETSIG, signal) || fcntl(alarm, F_SETOWN_EX, &owner) ? -errno : 0;
}

/* Puts the alarm into the queue of its trigger. */
static int hold(int alarm)
{
	struct iovec iov = {.iov_base = "", .iov_len = 1};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int))}};
	const struct msghdr msg = {.msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = &control,
				   .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.head), &alarm, sizeof(int));
	return sendmsg(alarm, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* What is open afterwards is in the guard, also after a failure. */
static int open_alarm(struct guard *guard, int alarm, int trigger, int signal)
{
	int ends[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends))
		return -errno;
	ret = place(&ends[0], guards.first, guards.end);
	if (!ret)
		ret = place(&ends[1], guards.first, guards.end);
	guard->fds[alarm] = ends[0];
	guard->fds[trigger] = ends[1];
	if (!ret)
		ret = set_signal(ends[0], signal, guard->id, guard->is_thread);
	return ret ? ret : hold(ends[0]);
}

/* Where the guard is in the list, or its end. */
static struct guard **find(pid_t id, bool is_thread)
{
	struct guard **link = &guards.list;

	while (*link && ((*link)->id != id || (*link)->is_thread != is_thread))
		link = &(*link)->next;
	return link;
}

static int arm(int alarm, bool is_armed)
{
	return fcntl(alarm, F_SETFL, O_NONBLOCK | (is_armed ? O_ASYNC : 0)) ? -errno : 0;
}

static void close_all(struct guard *guard)
{
	/* Also for the descriptors of the other process: the file is the same. */
	arm(guard->fds[STOP_ALARM], false);
	arm(guard->fds[KILL_ALARM], false);
	for (int i = 0; i < NR_FDS; i++)
		if (guard->fds[i] >= 0)
			close(guard->fds[i]);
}

static struct guard *new_guard(pid_t id, bool is_thread)
{
	struct guard *guard = calloc(1, sizeof(*guard));

	if (!guard)
		return NULL;
	guard->id = id;
	guard->is_thread = is_thread;
	for (int i = 0; i < NR_FDS; i++)
		guard->fds[i] = -1;
	return guard;
}

static int add(struct guard *guard)
{
	int ret = open_alarm(guard, STOP_ALARM, STOP_TRIGGER, SIGSTOP);

	if (!ret && !guard->is_thread)
		ret = open_alarm(guard, KILL_ALARM, KILL_TRIGGER, SIGKILL);
	if (ret) {
		close_all(guard);
		free(guard);
		return ret;
	}
	guard->next = guards.list;
	guards.list = guard;
	return 1;
}

int ccr__guard_add(pid_t id, bool is_thread, int fds[GUARD_FDS])
{
	struct guard *guard;
	int ret;

	if (!guards.is_open || *find(id, is_thread))
		return 0;
	guard = new_guard(id, is_thread);
	if (!guard)
		return -ENOMEM;
	pthread_mutex_lock(&guards.lock);
	ret = add(guard);
	pthread_mutex_unlock(&guards.lock);
	for (int i = 0; ret > 0 && i < GUARD_FDS; i++)
		fds[i] = guard->fds[i];
	return ret;
}

size_t ccr__guard_room(void)
{
	return guards.end > guards.first ? (guards.end - guards.first) / NR_FDS : 0;
}

int ccr__guard_stop(pid_t id, bool is_thread, bool is_armed)
{
	const struct guard *guard = *find(id, is_thread);

	return guard ? arm(guard->fds[STOP_ALARM], is_armed) : 0;
}

int ccr__guard_kill(pid_t pid, bool is_armed)
{
	const struct guard *guard = *find(pid, false);

	return guard ? arm(guard->fds[KILL_ALARM], is_armed) : 0;
}

void ccr__guard_disarm(pid_t id, bool is_thread)
{
	struct guard **link, *guard;

	pthread_mutex_lock(&guards.lock);
	link = find(id, is_thread);
	guard = *link;
	if (guard) {
		*link = guard->next;
		close_all(guard);
		free(guard);
	}
	pthread_mutex_unlock(&guards.lock);
}

bool ccr__guard_stops(pid_t pid)
{
	const struct guard *guard = *find(pid, false);

	return guard && fcntl(guard->fds[STOP_ALARM], F_GETFL) & O_ASYNC;
}

void ccr__guard_enter_thread(void)
{
	if (!guards.is_open)
		return;
	pthread_mutex_lock(&guards.lock);
	if (!unshare(CLONE_FILES))
		close_triggers();
	pthread_mutex_unlock(&guards.lock);
}

int ccr__guard_for_each(int (*give)(pid_t id, bool is_thread, const int fds[GUARD_FDS]))
{
	int ret = 0;

	for (const struct guard *guard = guards.list; !ret && guard; guard = guard->next)
		ret = give(guard->id, guard->is_thread, guard->fds);
	return ret;
}

void ccr__guard_watch(void)
{
	guards.is_open = false;
	guards.list = NULL; /* criu's, whose descriptors are closed here */
	pthread_mutex_init(&guards.lock, NULL);
}

int ccr__guard_take(pid_t id, bool is_thread, const int fds[GUARD_FDS])
{
	struct guard *guard = new_guard(id, is_thread);
	const int nr = is_thread ? 1 : GUARD_FDS;

	if (!guard)
		return -ENOMEM;
	for (int i = 0; i < GUARD_FDS; i++)
		guard->fds[i] = fds[i];
	if (fds[nr - 1] < 0) { /* the last one, if not all have come */
		close_all(guard);
		free(guard);
		return -EMFILE;
	}
	guard->next = guards.list;
	guards.list = guard;
	return 0;
}
