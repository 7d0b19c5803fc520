// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread that is traced exists until its tracer has collected it. The thread of a killed PID
 * namespace's first process that ends last waits in the kernel until all the others are
 * collected, those of its own process and those of all other processes in the namespace
 * (zap_pid_ns_processes). Which thread that is, is decided by chance. So we kill everything first,
 * and ask for all threads in turn, never for one until it has ended.
 */
#include "plugin/trace/end_traced.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugin/trace/each_thread.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/state.h"

#define PAUSE_NS 1000000
#define GROWTH	 64

struct process {
	pid_t pid;
	bool is_init; /* the first of its PID namespace */
};

struct traced {
	struct process *list;
	size_t nr;
	bool has_init;
};

static int is_ours(pid_t tid, void *unused)
{
	return ccr__tracer_of(tid) == getpid();
}

static int add(struct traced *traced, pid_t pid)
{
	const struct process process = {pid, ccr__namespace_pid(pid) == 1};
	struct process *list = traced->list;

	if (traced->nr % GROWTH == 0)
		list = realloc(list, (traced->nr + GROWTH) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	traced->list = list;
	list[traced->nr++] = process;
	traced->has_init |= process.is_init;
	return 0;
}

static int find_traced(struct traced *traced)
{
	struct dirent *entry;
	int ret = 0;
	DIR *proc;

	proc = opendir("/proc");
	if (!proc)
		return -errno;
	while (!ret && (entry = readdir(proc))) {
		const pid_t pid = strtol(entry->d_name, NULL, 10);

		if (pid > 0 && ccr__each_thread(pid, is_ours, NULL) > 0)
			ret = add(traced, pid);
	}
	closedir(proc);
	return ret;
}

/* Whether there is no thread of that id that this process traces. */
static bool collect(pid_t tid)
{
	int status;
	const pid_t got = waitpid(tid, &status, __WALL | WNOHANG);

	return (got < 0 && errno != EINTR) || (got > 0 && !WIFSTOPPED(status));
}

struct pass {
	pid_t leader; /* of the process, when it is left to its parent; otherwise 0 */
	bool is_complete;
};

static int collect_one(pid_t tid, void *data)
{
	struct pass *pass = data;

	if (tid != pass->leader && !collect(tid))
		pass->is_complete = false;
	return 0;
}

/* CRIU waits for the first process itself, and kills the others by their pids when there is none.
 */
static bool is_left_to_parent(const struct traced *traced, const struct process *process)
{
	return process->is_init || !traced->has_init;
}

static bool collect_all(const struct traced *traced)
{
	bool is_complete = true;

	for (size_t i = 0; i < traced->nr; i++) {
		const struct process *process = &traced->list[i];
		struct pass pass = {.is_complete = true};

		pass.leader = is_left_to_parent(traced, process) ? process->pid : 0;
		ccr__each_thread(process->pid, collect_one, &pass);
		is_complete &= pass.is_complete;
	}
	return is_complete;
}

void ccr__end_traced(void)
{
	const double deadline = ccr__now_ms() + ccr__plugin.settings.step_timeout_ms;
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct traced traced = {0};
	const int ret = find_traced(&traced);

	if (ret)
		ccr_err("cannot list the restored processes: %s", strerror(-ret));
	for (size_t i = 0; i < traced.nr; i++)
		if (kill(traced.list[i].pid, SIGKILL) && errno != ESRCH)
			ccr_err("cannot kill %d: %s", traced.list[i].pid, strerror(errno));
	while (!collect_all(&traced)) {
		if (ccr__now_ms() > deadline) {
			ccr_err("the restored processes were killed and have not ended");
			break;
		}
		nanosleep(&pause, NULL);
	}
	free(traced.list);
}
