// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several tasks whose memory moves: the pool closes all gates while all tasks run. CRIU stops
 * them one after the other, and work on one device may wait for work of another task.
 */
#include "plugin/device/device.h"

#include <errno.h>

#include "common/protocol/mailbox.h"
#include "plugin/device/pool_link.h"
#include "plugin/device/through_pool.h"
#include "plugin/trace/proc_status.h"
#include "plugin/watch/watcher_link.h"

/* Of the tasks whose memory moves. */
struct members {
	size_t nr;
	bool are_sharing; /* one has imported memory that can be given back */
};

/* Without members if one of their interceptors cannot wait for others. */
static struct members find_members(struct task *const *tasks, size_t nr)
{
	struct members members = {0};
	struct ccr_mailbox mailbox;

	for (size_t i = 0; i < nr; i++) {
		if (!tasks[i]->service_tid)
			continue;
		if (ccr_mailbox_read(tasks[i]->pid, &mailbox, NULL) ||
		    mailbox.protocol < CCR_PROTOCOL_GROUPS) {
			ccr_info("%d: its interceptor is of an earlier version; the gates of its "
				 "tree close one after the other",
				 tasks[i]->pid);
			return (struct members){0};
		}
		members.nr++;
		members.are_sharing |= mailbox.kept_imports != 0;
	}
	return members;
}

static int join(struct task *task)
{
	int ret;

	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0)
		return task->image_pid;
	task->operation = ccr__memory_next_operation();
	task->is_joined = true;
	ret = ccr__watcher_track(task);
	if (!ret)
		ret = ccr__pool_request(CCR_MSG_OP_JOIN, task, CCR_OP_PIDFD | CCR_OP_CONNECTION);
	return ret ? ret : ccr__memory_wait_ready(task);
}

static int close_gates(struct task *const *tasks, size_t nr)
{
	const struct ccr_settings *settings = &ccr__plugin.settings;
	struct ccr_message reply;
	int ret = ccr__memory_begin_dump();

	for (size_t i = 0; !ret && i < nr; i++)
		if (tasks[i]->service_tid)
			ret = join(tasks[i]);
	if (!ret)
		ret = ccr__pool_request(CCR_MSG_OP_QUIESCE, NULL,
					CCR_OP_IMAGES | CCR_OP_STATUS | CCR_OP_FD_BACKUP);
	/* It also waits for the answer of each service thread. */
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_QUIET, 0, &reply,
				      settings->lock_timeout_ms + settings->step_timeout_ms);
	return ret;
}

/* All gates are open: the pool has said so, or has ended, or is told. Returns 0 or -errno. */
static int leave(struct task *const *tasks, size_t nr, bool has_pool)
{
	struct ccr_message reply;
	int ret = 0;

	for (size_t i = 0; i < nr; i++) {
		struct task *task = tasks[i];

		if (!task->is_joined)
			continue;
		if (!ret && has_pool)
			ret = ccr__pool_request(CCR_MSG_OP_ROLL_BACK, task, 0);
		if (!ret && has_pool)
			ret = ccr__pool_reply(CCR_MSG_OP_GIVEN, task->operation, &reply,
					      ccr__plugin.settings.step_timeout_ms);
		task->is_joined = false;
		task->operation = 0;
		if (!ret)
			ret = ccr__watcher_track(task);
	}
	return ret;
}

int ccr__memory_locked(struct task *task)
{
	return leave(&task, 1, true);
}

int ccr__memory_quiesce(struct task *const *tasks, size_t nr)
{
	const struct members members = find_members(tasks, nr);
	const double start = ccr__now_ms();
	int ret, left;

	if (members.nr < 2 && !members.are_sharing)
		return 0;
	ret = close_gates(tasks, nr);
	if (ret == -EPIPE && ccr__pool_link.is_daemon) {
		ret = leave(tasks, nr, false);
		if (!ret)
			ret = ccr__pool_replace("it has ended, or is of another version");
		if (!ret)
			ret = close_gates(tasks, nr);
	}
	if (!ret) {
		ccr_info("the gates of %zu processes are closed after %.1f ms", members.nr,
			 ccr__now_ms() - start);
		return 0;
	}
	left = leave(tasks, nr, ret != -EPIPE);
	if (ret == -EPIPE || ret == -ETIMEDOUT || members.are_sharing)
		return ret;
	/* What fails here fails for one of them again, which may be left to the driver. */
	return left;
}
