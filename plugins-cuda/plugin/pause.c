// SPDX-License-Identifier: GPL-2.0-only
/* The first step of a dump, while the tasks run: their device memory moves, and the driver locks
 * them. */
#include "look/look.h"
#include "plugin/task/task.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/report.h"
#include "plugin/plugin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "plugin/device/device.h"

static int announce(void)
{
	struct plugin *p = &ccr__plugin;
	const int ret = p->in_inventory ? 0 : ccr__files_require(PLUGIN_NAME);

	p->in_inventory |= !ret;
	return ret;
}

/* The driver waits for the restore thread forever, whatever it is asked to do. */
static bool is_stopped(pid_t restore_tid)
{
	char state[32] = "";

	ccr__proc_status(restore_tid, "State", state, sizeof(state));
	return state[strspn(state, "\t ")] == 'T';
}

static int lock(struct task *task, CUresult (*make)(const struct task *task))
{
	CUresult result;
	int ret;

	task->is_changed = true;
	task->is_locking = true;
	ret = ccr__watcher_track(task);
	if (ret)
		return ret;
	result = make(task);
	task->is_locking = false;
	ret = ccr__watcher_track(task);
	if (result == CUDA_ERROR_NOT_SUPPORTED)
		ccr_err("%d %s; %s", task->pid, ccr_look_rows[CCR_LOOK_PROFILER].text,
			ccr_look_rows[CCR_LOOK_PROFILER].remedy);
	if (result == CUDA_ERROR_TIMEOUT)
		ccr_err("%d does not answer the driver; is it frozen by its cgroup, or stopped by "
			"a "
			"debugger?",
			task->pid);
	if (result == CUDA_ERROR_NOT_READY)
		ccr_err("%d: its GPU work did not end within CRIU_CUDA_LOCK_TIMEOUT_MS = %ld; "
			"raise it",
			task->pid, ccr__plugin.settings.lock_timeout_ms);
	return result == CUDA_SUCCESS ? ret : -EIO;
}

/* What the driver does not lock, a process under a profiler, is found before its memory moves. */
static int find_interceptor(struct task *task)
{
	const int is_moved = ccr__memory_is_moved(task);

	return is_moved < 0 ? is_moved : is_moved ? lock(task, ccr__task_try_lock) : 0;
}

static int evict(struct task *task)
{
	int ret = ccr__memory_evict(task);
	bool is_left = false;

	if (ret >= 0) {
		is_left = ret;
		ret = ccr__storage_begin(task);
	}
	/* What the pool leaves needs room in host memory, which was not asked for before. */
	if (!ret && is_left && !task->storage)
		ret = ccr__look_without_pool(task->pid);
	return ret;
}

/* Each step for all tasks: the work of one may wait for another, and nothing moves before all are
 * quiet. */
static int evict_and_lock(struct task *const *tasks, size_t nr)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < nr; i++)
		ret = find_interceptor(tasks[i]);
	if (!ret)
		ret = ccr__memory_quiesce(tasks, nr);
	for (size_t i = 0; !ret && i < nr; i++)
		ret = evict(tasks[i]);
	for (size_t i = 0; !ret && i < nr; i++) {
		ret = lock(tasks[i], ccr__task_lock);
		if (!ret)
			ret = ccr__memory_locked(tasks[i]);
	}
	return ret;
}

/* Returns 0, also without CUDA; `*task` then stays NULL, as for one that the driver has locked. */
static int add(pid_t pid, struct task **added)
{
	CUprocessState state;
	struct task *task;
	pid_t restore_tid;
	int ret = ccr__task_detect(pid, &restore_tid);

	*added = NULL;
	if (ret)
		return ret == -ENOTSUP ? 0 : ret;
	if (is_stopped(restore_tid)) {
		ccr_err("%d is stopped by a signal; send SIGCONT before dumping", pid);
		return -EBUSY;
	}
	if (ccr__task_state(pid, &state) != CUDA_SUCCESS)
		return -EIO;
	if (state == CU_PROCESS_STATE_FAILED) {
		ccr_err("cannot dump %d: the driver reports its state as failed; restart the "
			"process",
			pid);
		return -EIO;
	}
	ret = announce();
	if (!ret)
		ret = ccr__begin(STAGE_DUMP);
	if (ret)
		return ret;
	task = ccr__task_add(pid, restore_tid, state);
	if (!task)
		return -ENOMEM;
	ccr__report_process(pid);
	ret = ccr__watcher_track(task);
	if (ret)
		return ret;
	if (state == CU_PROCESS_STATE_RUNNING) {
		*added = task;
		return 0;
	}
	ccr_info("%d is already %s", pid, ccr__state_name(state));
	task->memory.reason = "it was locked or checkpointed before";
	return 0;
}

static int pause_all(const pid_t *pids, size_t nr)
{
	struct task **tasks = calloc(nr, sizeof(struct task *));
	const struct itimerval off = {0};
	struct itimerval alarm_left = {0};
	size_t nr_running = 0;
	int ret = tasks ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < nr; i++) {
		ret = add(pids[i], &tasks[nr_running]);
		nr_running += !ret && tasks[nr_running];
	}
	/*
	 * CRIU arms an alarm while it freezes the tree, and aborts when the alarm has fired six
	 * times. Waiting for GPU work has its own time limit, so we stop CRIU's alarm meanwhile.
	 */
	setitimer(ITIMER_REAL, &off, &alarm_left);
	if (!ret)
		ret = evict_and_lock(tasks, nr_running);
	setitimer(ITIMER_REAL, &alarm_left, NULL);
	free(tasks);
	return ret;
}

int ccr__pause_devices(int pid)
{
	const pid_t *pids = NULL, one = pid;
	size_t nr;
	int ret = ccr__look_before_dump(pid, &pids, &nr);

	/* CRIU stops a process before it asks about its children, so the first call is for all.
	 * It detaches from a child that it could not seize, and pauses it again when it finds it
	 * the next time. */
	if (!ret && nr)
		ret = pause_all(pids, nr);
	else if (!ret && !ccr__task_find(pid)) /* it may have initialized CUDA since then */
		ret = pause_all(&one, 1);
	/* CRIU takes -ENOTSUP as "not mine", and would dump what was refused here. */
	if (ret)
		return ret == -ENOTSUP ? -EIO : ret;
	return ccr__task_find(pid) ? 0 : -ENOTSUP;
}
