// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of a restore: CRIU has restored the process, with CUDA in the
 * checkpointed state and every thread stopped; the driver restores the device
 * part through the restore thread. CRIU ignores what the hook returns, so on
 * failure we kill the tasks here: none may run without its GPU.
 */
#include "plugin/task/account.h"
#include "plugin/task/report.h"
#include "plugin/task/task.h"
#include "plugin/task/restore_thread.h"
#include "plugin/task/end_traced.h"
#include "plugin/task/proc_status.h"
#include "plugin/plugin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "plugin/host/host.h"
#include "plugin/device/device.h"

static void fail_restore(const struct task *task, const char *call, const char *error)
{
	char reason[384];

	snprintf(reason, sizeof(reason), "%s: %s", call, error);
	ccr_err("device restore of %d failed: %s; killing the restored processes", task->pid,
		reason);
	ccr__task_outcome(task, "failed", reason);
	ccr__plugin.restore_failed = true;
	ccr__end_traced();
}

/* Users expect a restored process to run, whatever state it was in at the dump. */
static int restore_devices(struct task *task)
{
	struct restore_thread thread;
	const struct task *failed;
	const char *call;
	CUresult result;
	uint64_t before, after;
	double before_attach;
	int ret, compared;

	task->memory.criu_bytes = ccr__account_resident(task->pid);
	ret = ccr__host_memory_restore(task->pid, &task->memory.page_bytes);
	if (ret) {
		fail_restore(task, "restore of its host memory", strerror(-ret));
		return ret;
	}
	before = ccr__account_private(task->pid);
	ret = ccr__restore_thread_resume(&thread, task->restore_tid);
	if (ret) {
		fail_restore(task, "resume of the restore thread", strerror(-ret));
		return ret;
	}
	result = ccr__task_raise(task, CU_PROCESS_STATE_RUNNING, &call);
	after = ccr__account_private(task->pid);
	task->memory.driver_bytes = before > after ? before - after : 0;
	compared = ccr__host_memory_restored();
	ret = ccr__restore_thread_stop(&thread);
	if (result != CUDA_SUCCESS) {
		fail_restore(task, call, ccr_cuda_error_name(result));
		return -EIO;
	}
	if (ret) {
		fail_restore(task, "stop of the restore thread", strerror(-ret));
		return ret;
	}
	if (compared) {
		fail_restore(task, "restore of its host memory", strerror(-compared));
		return compared;
	}
	before_attach = ccr__now_ms();
	ret = ccr__memory_attach(task);
	if (task->operation)
		ccr_status_span(&ccr__plugin.status, task->pid, "plugin", "connection to the pool",
				before_attach, ccr__now_ms());
	if (ret) {
		fail_restore(task, "attach of its device memory", strerror(-ret));
		return ret;
	}
	ret = ccr__memory_loaded(&failed, &call);
	if (ret) {
		fail_restore(failed, "load of its device memory", call);
		return ret;
	}
	ccr__account_report(task);
	ccr__task_outcome(task, "restored", NULL);
	return 0;
}

/* A process without CUDA whose host memory came from a page file. */
static void report_plain(struct task *task)
{
	const uint64_t resident = ccr__account_resident(task->pid);

	if (resident > task->memory.page_bytes)
		task->memory.criu_bytes = resident - task->memory.page_bytes;
	ccr__account_report(task);
}

int ccr__resume_devices_late(int pid)
{
	struct task *task;
	pid_t restore_tid = 0;
	int ret;

	if (ccr__plugin.restore_failed) {
		if (!ccr__is_dying(pid))
			ccr__end_traced();
		return -ECANCELED;
	}
	ret = ccr__task_detect(pid, &restore_tid);
	task = ccr__task_add(pid, restore_tid, CU_PROCESS_STATE_CHECKPOINTED);
	if (!task) {
		ccr__plugin.restore_failed = true;
		ccr__end_traced();
		return -ENOMEM;
	}
	task->is_plain = ret == -ENOTSUP;
	if (ccr__end_all_with_criu(pid) || (task->is_plain && ccr__watcher_track(task))) {
		fail_restore(task, "preparation for the death of criu", "see the log");
		return -EIO;
	}
	if (ret == -ENOTSUP) {
		if (ccr__host_memory_restore(pid, &task->memory.page_bytes))
			fail_restore(task, "restore of its host memory", "see the log");
		else if (task->memory.page_bytes)
			report_plain(task);
		return ret;
	}
	if (!ret)
		ret = ccr__begin(STAGE_RESTORE);
	if (!ret) {
		ccr__report_process(pid);
		ret = ccr__watcher_track(task);
	}
	if (ret) {
		fail_restore(task, "start of the watcher", strerror(-ret));
		return ret;
	}
	return restore_devices(task);
}
