// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guard is a pipe whose write end only criu holds, and a read end that belongs
 * to the guarded process and asks for a signal (O_ASYNC, F_SETOWN_EX, F_SETSIG).
 * A process that exits closes its descriptors before it releases the threads that
 * it traces (do_exit: exit_files and exit_task_work, then exit_notify). So the
 * signal is pending before a thread can run. The watcher holds the read ends.
 *
 * The signal goes to the whole process, which is enough while all its threads are
 * stopped: the first to run takes it and stops the others, all under one lock. A
 * thread that is injected into while another runs has a guard of its own.
 *
 * For SIGKILL, both criu and the watcher hold write and read ends, and the last
 * one to exit must close a write end before the read end. Linux closes
 * descriptors in the order of their numbers, but releases the files in that order
 * or in reverse order, depending on its version. So there are two such pipes: P
 * has its write end at a lower number than its read ends, Q at a higher number. For the
 * same reason there are two read ends for SIGSTOP, one below and one above all of
 * these: a watcher that loses the last of them is no longer a writer of P or Q,
 * so that the death of criu counts as the last.
 */
#include "plugin/watch/guard.h"

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* The pipes, and the places of a guard's read ends. */
enum { STOP_LOW, STOP_HIGH, KILL_P, KILL_Q };
/* A range of descriptor numbers: a quarter is for the read ends of P, one for those of Q, and the
 * last one in criu for both of SIGSTOP, in the watcher for one. */
struct numbers {
	int first, size;
};
#define NUMBERS_MAX 32768
/* CRIU keeps descriptors at fixed numbers below what was its limit; some of them are open. */
#define CRIU_FIXED 64

struct guard {
	struct guard *next;
	pid_t id;
	bool is_thread; /* the leader of a process may have one as a thread, too */
	int fds[GUARD_FDS];
};

static struct {
	bool is_open; /* in criu, at a dump */
	int stop[2], p[2], q[2];
	int p_end, q_begin, stop_high, end; /* numbers that divide the ranges */
	struct guard *list;
} guards = {.stop = {-1, -1}, .p = {-1, -1}, .q = {-1, -1}};

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

/* Above or below the descriptors of CRIU that have fixed numbers. */
static struct numbers choose_numbers(void)
{
	const int limit = raise_limit(), highest = highest_fd();
	const int above = limit - highest - CRIU_FIXED, below = highest - CRIU_FIXED;
	struct numbers numbers = {0, below};

	if (above > below)
		numbers = (struct numbers){highest + CRIU_FIXED, above};
	if (numbers.size > NUMBERS_MAX)
		numbers.size = NUMBERS_MAX;
	return numbers;
}

static int place_writers(struct numbers numbers)
{
	const int first = numbers.first, size = numbers.size;
	int ret;

	guards.p_end = first + size / 2;
	guards.q_begin = first + size / 2;
	ret = place(&guards.p[1], first + size / 4, guards.p_end);
	if (!ret)
		ret = place(&guards.q[1], first + size / 4 * 3, first + size);
	guards.stop_high = guards.q[1] + 1;
	guards.end = first + size;
	return ret;
}

int ccr__guard_create(void)
{
	if (pipe2(guards.stop, O_CLOEXEC) || pipe2(guards.p, O_CLOEXEC) ||
	    pipe2(guards.q, O_CLOEXEC))
		return -errno;
	guards.is_open = true;
	return place_writers(choose_numbers());
}

/* Opens the read end once more: a file of its own, with its own owner and signal. */
static int open_end(int end, int signal, pid_t id, bool is_thread)
{
	const struct f_owner_ex owner = {is_thread ? F_OWNER_TID : F_OWNER_PID, id};
	char path[32];
	int fd, ret;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", end);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!fcntl(fd, F_SETSIG, signal) && !fcntl(fd, F_SETOWN_EX, &owner) &&
	    !fcntl(fd, F_SETFL, O_NONBLOCK))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static struct guard *find(pid_t id, bool is_thread)
{
	struct guard *guard = guards.list;

	while (guard && (guard->id != id || guard->is_thread != is_thread))
		guard = guard->next;
	return guard;
}

static void remove_guard(struct guard *guard)
{
	struct guard **link = &guards.list;

	/* Also for the descriptors of the other process: the file is the same. */
	for (int i = 0; i < GUARD_FDS; i++)
		fcntl(guard->fds[i], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < GUARD_FDS; i++)
		if (guard->fds[i] >= 0)
			close(guard->fds[i]);
	while (*link && *link != guard)
		link = &(*link)->next;
	if (*link)
		*link = guard->next;
	free(guard);
}

static struct guard *add(pid_t id, bool is_thread)
{
	struct guard *guard = calloc(1, sizeof(*guard));

	if (!guard)
		return NULL;
	guard->id = id;
	guard->is_thread = is_thread;
	guard->next = guards.list;
	guards.list = guard;
	for (int i = 0; i < GUARD_FDS; i++)
		guard->fds[i] = -1;
	return guard;
}

static int open_kill(struct guard *guard)
{
	int fd = open_end(guards.p[0], SIGKILL, guard->id, false);

	if (fd < 0)
		return fd;
	guard->fds[KILL_P] = fd;
	fd = open_end(guards.q[0], SIGKILL, guard->id, false);
	if (fd < 0)
		return fd;
	guard->fds[KILL_Q] = fd;
	fd = place(&guard->fds[KILL_P], guards.p[1] + 1, guards.p_end);
	return fd ? fd : place(&guard->fds[KILL_Q], guards.q_begin, guards.q[1]);
}

static int arm(const struct guard *guard, int first, int last, bool is_armed)
{
	for (int i = first; i <= last; i++)
		if (fcntl(guard->fds[i], F_SETFL, O_NONBLOCK | (is_armed ? O_ASYNC : 0)))
			return -errno;
	return 0;
}

int ccr__guard_add(pid_t id, bool is_thread, int fds[GUARD_FDS])
{
	struct guard *guard;
	int ret = 0;

	if (!guards.is_open || find(id, is_thread))
		return 0;
	guard = add(id, is_thread);
	if (!guard)
		return -ENOMEM;
	for (int i = STOP_LOW; !ret && i <= STOP_HIGH; i++) {
		guard->fds[i] = open_end(guards.stop[0], SIGSTOP, id, is_thread);
		ret = guard->fds[i] < 0 ? guard->fds[i]
					: place(&guard->fds[i], guards.stop_high, guards.end);
	}
	if (!ret && !is_thread)
		ret = open_kill(guard);
	if (ret) {
		remove_guard(guard);
		return ret;
	}
	for (int i = 0; i < GUARD_FDS; i++)
		fds[i] = guard->fds[i];
	return 1;
}

size_t ccr__guard_room(void)
{
	return (guards.end - guards.stop_high) / 2;
}

int ccr__guard_stop(pid_t id, bool is_thread, bool is_armed)
{
	const struct guard *guard = find(id, is_thread);

	return guard ? arm(guard, STOP_LOW, STOP_HIGH, is_armed) : 0;
}

int ccr__guard_kill(pid_t pid, bool is_armed)
{
	const struct guard *guard = find(pid, false);

	return guard ? arm(guard, KILL_P, KILL_Q, is_armed) : 0;
}

void ccr__guard_disarm(pid_t id, bool is_thread)
{
	struct guard *guard = find(id, is_thread);

	if (guard)
		remove_guard(guard);
}

bool ccr__guard_stops(pid_t pid)
{
	const struct guard *guard = find(pid, false);

	return guard && fcntl(guard->fds[STOP_LOW], F_GETFL) & O_ASYNC;
}

void ccr__guard_enter_thread(void)
{
	if (!guards.is_open || unshare(CLONE_FILES))
		return;
	close(guards.stop[1]);
	close(guards.p[1]);
	close(guards.q[1]);
}

int ccr__guard_for_each(int (*give)(pid_t id, bool is_thread, const int fds[GUARD_FDS]))
{
	int ret = 0;

	for (const struct guard *guard = guards.list; !ret && guard; guard = guard->next)
		ret = give(guard->id, guard->is_thread, guard->fds);
	return ret;
}

void ccr__guard_writers(int fds[2])
{
	fds[0] = guards.p[1];
	fds[1] = guards.q[1];
}

int ccr__guard_watch(void)
{
	int limit;

	if (!guards.is_open)
		return 0;
	guards.is_open = false;
	guards.list = NULL; /* criu's, whose descriptors are closed here */
	limit = raise_limit();
	return place_writers((struct numbers){0, limit < NUMBERS_MAX ? limit : NUMBERS_MAX});
}

int ccr__guard_take(pid_t id, bool is_thread, const int fds[GUARD_FDS])
{
	struct guard *guard = add(id, is_thread);
	int ret;

	for (int i = 0; guard && i < GUARD_FDS; i++)
		guard->fds[i] = fds[i];
	if (!guard)
		return -ENOMEM;
	ret = place(&guard->fds[STOP_LOW], 3, guards.p[1]);
	if (!ret)
		ret = place(&guard->fds[STOP_HIGH], guards.stop_high, guards.end);
	if (!ret && guard->fds[KILL_P] >= 0)
		ret = place(&guard->fds[KILL_P], guards.p[1] + 1, guards.p_end);
	if (!ret && guard->fds[KILL_Q] >= 0)
		ret = place(&guard->fds[KILL_Q], guards.q_begin, guards.q[1]);
	if (ret)
		remove_guard(guard);
	return ret;
}
