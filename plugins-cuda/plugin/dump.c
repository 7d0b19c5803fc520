// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of a dump: pause (driver Lock, tasks running), checkpoint (tasks
 * stopped), finish (roll back unless the tasks are about to die).
 */
#include "look/look.h"
#include "plugin/task/task.h"
#include "plugin/task/account.h"
#include "plugin/task/report.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/task/connections.h"
#include "plugin/task/restore_thread.h"
#include "plugin/task/proc_status.h"
#include "plugin/plugin.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "plugin/host/host.h"
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
static int evict_and_lock(struct task *task)
{
	const int is_moved = ccr__memory_is_moved(task);
	int ret = is_moved < 0 ? is_moved : is_moved ? lock(task, ccr__task_try_lock) : 0;
	bool is_left = false;

	if (!ret)
		ret = ccr__memory_evict(task);
	if (ret >= 0) {
		is_left = ret;
		ret = ccr__storage_begin(task);
	}
	/* What the pool leaves needs room in host memory, which was not asked for before. */
	if (!ret && is_left && !task->storage)
		ret = ccr__look_without_pool(task->pid);
	return ret ? ret : lock(task, ccr__task_lock);
}

int ccr__pause_devices(int pid)
{
	const struct itimerval off = {0};
	struct itimerval alarm_left = {0};
	CUprocessState state;
	struct task *task;
	pid_t restore_tid;
	CUresult result;
	int ret;

	ret = ccr__look_before_dump(pid);
	if (!ret)
		ret = ccr__task_detect(pid, &restore_tid);
	if (ret)
		return ret;
	/* CRIU detaches from a child that it could not seize, and pauses it again when it finds it
	 * the next time. */
	if (ccr__task_find(pid))
		return 0;
	if (is_stopped(restore_tid)) {
		ccr_err("%d is stopped by a signal; send SIGCONT before dumping", pid);
		return -EBUSY;
	}
	result = ccr__task_state(pid, &state);
	if (result != CUDA_SUCCESS)
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
	if (state != CU_PROCESS_STATE_RUNNING) {
		ccr_info("%d is already %s", pid, ccr__state_name(state));
		task->memory.reason = "it was locked or checkpointed before";
		return 0;
	}
	/*
	 * CRIU arms an alarm while it freezes the tree, and aborts when the alarm has fired six
	 * times. Waiting for GPU work has its own time limit, so we stop CRIU's alarm meanwhile.
	 */
	setitimer(ITIMER_REAL, &off, &alarm_left);
	ret = evict_and_lock(task);
	setitimer(ITIMER_REAL, &alarm_left, NULL);
	return ret;
}

/* Resumes the restore thread; the watcher knows before what to restore. Returns 0 or -errno. */
static int resume(struct task *task, struct restore_thread *thread)
{
	int ret = ccr__restore_thread_sigmask(task->restore_tid, &task->sigmask);

	if (ret && ret != -ESRCH)
		return ret;
	task->is_resumed = !ret;
	if (task->is_resumed) {
		ret = ccr__watcher_track(task);
		if (ret)
			return ret;
	}
	return ccr__restore_thread_resume(thread, task->restore_tid);
}

/* Stops it again. If that fails, the watcher restores the signal mask. */
static int stop(struct task *task, struct restore_thread *thread)
{
	const int ret = ccr__restore_thread_stop(thread);

	task->is_resumed &= ret != 0;
	return ret;
}

/* Of a process without CUDA only if it has a page file. */
static int report_memory(pid_t pid)
{
	struct task *task = ccr__task_find(pid);

	if (!task || (task->is_plain && !task->memory.page_bytes))
		return 0;
	task->memory.criu_bytes = ccr__account_resident(pid);
	ccr__account_report(task);
	return 0;
}

static int save_host_memory(pid_t pid)
{
	const int ret = ccr__host_memory_save(pid);

	return ret ? ret : report_memory(pid);
}

/* Before CRIU locks them. Returns 0 or -errno. */
static int note_connections(pid_t pid)
{
	struct task *task = ccr__task_find(pid);
	const int nr = ccr__plugin.tasks ? ccr__connections_note(pid) : 0;

	if (nr <= 0)
		return nr;
	if (!task)
		task = ccr__task_add_plain(pid);
	if (!task)
		return -ENOMEM;
	task->has_connections = true;
	task->is_changed = true;
	return ccr__watcher_track(task);
}

/* By the pool, which the driver hands the memory over to, or to host memory of the task. */
static CUresult checkpoint(struct task *task)
{
	const bool is_stored = task->storage;
	int ret = ccr__storage_checkpoint(task);

	if (!ret)
		return CUDA_SUCCESS;
	/* Host memory for it was not asked for before. */
	if (ret > 0)
		ret = is_stored ? ccr__look_without_pool(task->pid) : 0;
	return ret ? CUDA_ERROR_OPERATING_SYSTEM
		   : ccr__task_step(task, "checkpoint", ccr__host_memory_checkpoint);
}

int ccr__checkpoint_devices(int pid)
{
	uint64_t before, after;
	struct restore_thread thread;
	pid_t restore_tid;
	struct task *task;
	CUresult result;
	int ret;

	ret = note_connections(pid);
	if (ret)
		return ret;
	ret = ccr__task_detect(pid, &restore_tid);
	if (ret == -ENOTSUP && ccr__plugin.tasks) { /* its tree has CUDA processes */
		const int saved = save_host_memory(pid);

		return saved ? saved : ret;
	}
	if (ret)
		return ret;
	task = ccr__task_find(pid);
	if (!task) {
		ccr_err("%d initialized CUDA while the dump began; try again", pid);
		return -EAGAIN;
	}
	if (task->prior == CU_PROCESS_STATE_CHECKPOINTED)
		return save_host_memory(pid);
	ccr__host_memory_before(pid);
	before = ccr__account_private(pid);
	task->is_changed = true;
	ret = resume(task, &thread);
	if (ret)
		return ret;
	result = checkpoint(task);
	ret = stop(task, &thread);
	if (!ret)
		ret = ccr__watcher_track(task);
	if (result != CUDA_SUCCESS)
		return -EIO;
	after = ccr__account_private(pid);
	task->memory.driver_bytes = after > before ? after - before : 0;
	if (!ret)
		ret = save_host_memory(pid);
	return ret ? ret : ccr__memory_saved(task);
}

/* True when nothing of the task is left to the watcher. */
static bool roll_back(struct task *task)
{
	struct restore_thread thread;
	int ret;

	if (resume(task, &thread))
		return false;
	ret = ccr__undo(task, true);
	stop(task, &thread);
	/* The watcher tries again what failed, but must not do again what is done. */
	return !ccr__watcher_track(task) && !ret;
}

/* CRIU itself has opened its connections. */
static bool release_plain(struct task *task)
{
	task->is_undone = !ccr__host_is_empty(task);
	return !ccr__watcher_track(task);
}

/* A task whose memory is empty stays stopped when CRIU detaches from it, until the watcher has
 * filled the memory. */
static void stop_empty(void)
{
	for (const struct task *task = ccr__plugin.tasks; task; task = task->next)
		if (ccr__host_is_empty(task))
			kill(task->pid, SIGSTOP);
}

void ccr__dump_finish(int ret)
{
	bool all_rolled_back = true;

	if (!ret && opts.final_state == FINAL_DEAD) {
		/* If a post-dump script has failed, the tasks stay alive; the watcher handles that.
		 * This is the last chance to notice that it was killed, and to start another. */
		for (const struct task *task = ccr__plugin.tasks; task; task = task->next) {
			ccr__watcher_track(task);
			if (!task->is_plain)
				ccr__task_outcome(task, "dumped", NULL);
		}
		stop_empty();
		return;
	}
	ccr__host_memory_roll_back(!ret);
	for (struct task *task = ccr__plugin.tasks; task; task = task->next)
		all_rolled_back &= task->is_plain ? release_plain(task) : roll_back(task);
	stop_empty();
	if (all_rolled_back)
		ccr__watcher_release();
}
