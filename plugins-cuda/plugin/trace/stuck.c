// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/trace/stuck.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/watch/background.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/state.h"
#include "plugin/task/task.h"

#define MEMBERS_MAX 4096

struct shared {
	atomic_bool is_in_plugin;
	atomic_uint nr;
	pid_t members[MEMBERS_MAX];
};

static struct shared unshared, *shared = &unshared;

int ccr__stuck_prepare(void)
{
	void *memory = ccr__background_memory(sizeof(*shared));

	if (!memory)
		return -errno;
	shared = memory;
	return 0;
}

void ccr__stuck_add(pid_t pid)
{
	const unsigned int nr = atomic_load(&shared->nr);

	if (nr == MEMBERS_MAX)
		return;
	shared->members[nr] = pid;
	atomic_store(&shared->nr, nr + 1);
}

void ccr__stuck_in_plugin(bool is_in_plugin)
{
	atomic_store(&shared->is_in_plugin, is_in_plugin);
}

/*
 * After a restore, criu may stay as the parent of processes that have ended by themselves; those it
 * does not trace.
 */
static bool was_killed(pid_t pid, int stage, pid_t criu)
{
	return ccr__has_ended(pid) && (stage == STAGE_DUMP || ccr__tracer_of(pid) == criu);
}

static pid_t find_killed(int stage, pid_t criu)
{
	const unsigned int nr = atomic_load(&shared->nr);

	for (unsigned int i = 0; i < nr; i++)
		if (was_killed(shared->members[i], stage, criu))
			return shared->members[i];
	return 0;
}

static bool is_state(pid_t pid, char expected)
{
	char state[32] = "";

	return !ccr__proc_status(pid, "State", state, sizeof(state)) &&
	       state[strspn(state, "\t ")] == expected;
}

/* A script, say: what it does may take long. */
static bool has_running_child(pid_t pid)
{
	bool found = false;
	char path[64];
	FILE *children;
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	children = fopen(path, "re");
	while (children && !found && fscanf(children, "%d", &child) == 1)
		found = !is_state(child, 'Z');
	if (children)
		fclose(children);
	return found;
}

static unsigned long long switches_of(pid_t pid)
{
	char text[32] = "";

	ccr__proc_status(pid, "voluntary_ctxt_switches", text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/* It sleeps, outside of the plugin, and not because of a child. */
static bool is_waiting(int stage, pid_t criu)
{
	return !atomic_load(&shared->is_in_plugin) && is_state(criu, 'S') &&
	       (stage == STAGE_RESTORE || !has_running_child(criu));
}

void ccr__stuck_check(int stage, pid_t criu, int criu_pidfd)
{
	static unsigned long long before;
	static double since;
	const pid_t killed = find_killed(stage, criu);
	const unsigned long long switches = switches_of(criu);
	const double now = ccr__now_ms();

	if (!killed || !is_waiting(stage, criu) || switches != before) {
		before = switches;
		since = now;
		return;
	}
	if (now - since < ccr__plugin.settings.lock_timeout_ms)
		return;
	ccr__task_outcome(&(struct task){.pid = killed, .prior = CU_PROCESS_STATE_RUNNING},
			  "failed",
			  "it was killed, and criu, which waited for it without end, too");
	syscall(SYS_pidfd_send_signal, criu_pidfd, SIGKILL, NULL, 0);
}
