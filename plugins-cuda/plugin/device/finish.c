// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the watcher does for device memory: it keeps what would be lost if the
 * pool died, and waits until every task has its memory.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/device/device.h"
#include "plugin/device/through_pool.h"
#include "plugin/device/fd_backup.h"
#include "plugin/device/fetch.h"
#include "plugin/device/pool_link.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/task.h"
#include "common/protocol/message.h"

void ccr__memory_fds(int fds[WATCHER_FDS])
{
	fds[0] = ccr__pool_link.socket;
	fds[1] = ccr__pool_link.fd_backup[0];
	fds[2] = ccr__pool_link.images_dir;
}

void ccr__memory_fds_passed(void)
{
	/* Only the watcher reads it from now on: if the watcher dies, the pool must notice. */
	if (ccr__pool_link.fd_backup[0] >= 0)
		close(ccr__pool_link.fd_backup[0]);
	ccr__pool_link.fd_backup[0] = -1;
}

void ccr__memory_forget_fds(void)
{
	struct pool_link *link = &ccr__pool_link;

	link->socket = link->images_dir = link->fd_backup[0] = link->fd_backup[1] = -1;
	link->earlier = -1;
}

static void keep(int *mine, int fd)
{
	if (fd < 0)
		return;
	if (*mine >= 0)
		close(*mine);
	*mine = fd;
}

void ccr__memory_keep_fds(const int fds[WATCHER_FDS])
{
	keep(&ccr__pool_link.socket, fds[0]);
	keep(&ccr__pool_link.fd_backup[0], fds[1]);
	keep(&ccr__pool_link.images_dir, fds[2]);
}

int ccr__memory_poll_fd(void)
{
	return ccr__pool_link.fd_backup[0];
}

void ccr__memory_poll(void)
{
	while (ccr__fd_backup_take())
		;
}

/* The pool does not begin again, but answers again; no second connection must be made for that. */
void ccr__memory_ask_again(struct task *const *tasks, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (tasks[i]->is_awaited)
			ccr__pool_request(CCR_MSG_OP_ROLL_BACK, tasks[i], 0);
}

/* Kills the task: it must not run with wrong memory or wait forever at a closed gate. */
static void kill_task(struct task *task, const char *reason)
{
	task->is_awaited = false;
	syscall(SYS_pidfd_send_signal, task->pidfd, SIGKILL, NULL, 0);
	ccr__task_outcome(task, "failed", reason);
}

static int reclaim(struct task *task)
{
	const uint32_t fds = CCR_OP_STATUS | CCR_OP_PIDFD | CCR_OP_CONNECTION;
	const int ret = ccr__pool_request(CCR_MSG_OP_RECLAIM, task, fds);

	return ret ? ret : ccr__fd_backup_send(task->operation);
}

static bool has_ended(const struct task *task)
{
	struct pollfd poller = {.fd = task->pidfd, .events = POLLIN};

	return poll(&poller, 1, 0) > 0;
}

/* The pool died: a helper takes over for every task that still waits. Returns 0 or -errno. */
static int switch_to_helper(int stage, struct task *const *tasks, size_t nr)
{
	int ret = ccr__pool_replace("it has ended");

	ccr__pool_link.group = 0;
	for (size_t i = 0; i < nr; i++) {
		tasks[i]->is_awaited &= !has_ended(tasks[i]);
		ccr__pool_link.group += tasks[i]->is_awaited;
	}
	if (!ret && stage == STAGE_RESTORE)
		ret = ccr__memory_request_load();
	for (size_t i = 0; !ret && i < nr; i++)
		if (tasks[i]->is_awaited &&
		    (stage == STAGE_RESTORE ? ccr__memory_request_attach(tasks[i])
					    : reclaim(tasks[i])))
			kill_task(tasks[i], "cannot connect it to another pool");
	return ret;
}

static struct task *awaited(struct task *const *tasks, size_t nr, uint32_t operation)
{
	for (size_t i = 0; i < nr; i++)
		if (tasks[i]->is_awaited && (!operation || tasks[i]->operation == operation))
			return tasks[i];
	return NULL;
}

static bool is_stopped(const struct task *task)
{
	char state[32] = "";

	ccr__proc_status(task->service_tid, "State", state, sizeof(state));
	return strchr("Tt", state[strspn(state, "\t ")]);
}

/* How long the process could have taken its memory: a stopped one cannot. */
static double waited(struct task *task)
{
	if (is_stopped(task))
		task->awaited_since = 0;
	else if (!task->awaited_since)
		task->awaited_since = ccr__now_ms();
	return task->awaited_since ? ccr__now_ms() - task->awaited_since : 0;
}

/*
 * The pool waits for a service thread without a limit, because the task may stay
 * stopped. One that runs and has not taken its connection since the last time
 * never will. The pool may copy as long as the settings say.
 */
static void check_awaited(struct task *task)
{
	const bool was_pending = task->was_pending;
	const long limit = ccr__plugin.settings.copy_timeout_ms;

	task->was_pending = !is_stopped(task) && ccr__fetch_is_pending(task);
	if (was_pending && task->was_pending)
		kill_task(task, "its service thread does not take its connection");
	else if (waited(task) > limit)
		kill_task(task, "the pool does not return its device memory within "
				"CRIU_CUDA_COPY_TIMEOUT_MS");
}

static void note_given(struct task *task, int result, const char *reason)
{
	/* criu could not connect to the service thread; now the task may run. */
	if (result == -ENOTCONN && !task->is_asked_again) {
		task->is_asked_again = true;
		if (!ccr__pool_request(CCR_MSG_OP_ROLL_BACK, task, CCR_OP_CONNECTION))
			return;
	}
	if (result)
		kill_task(task, reason);
	task->is_awaited = false;
}

/* What the pool has said while an undo waited for another answer. */
static void note_earlier(struct task *task)
{
	if (!task->is_awaited || !task->is_given)
		return;
	task->is_given = false;
	note_given(task, task->given_result, "the pool did not return its device memory");
}

/* Waits until the pool has freed what it does not keep: after us, the device is free for others. It
 * drops memory within milliseconds. */
static void end_session(void)
{
	const long timeout = ccr__plugin.settings.lock_timeout_ms;
	struct ccr_message last;

	if (ccr__pool_link.socket < 0)
		return;
	shutdown(ccr__pool_link.socket, SHUT_WR);
	while (!ccr_message_receive(ccr__pool_link.socket, &last, NULL, NULL, timeout))
		;
}

/*
 * What the undo could not return to its prior state. Its gate is closed, and the pool
 * would kill it without a word when we end.
 */
static void kill_unreturned(struct task *task)
{
	const char *why = ccr__why_ended(task->pid);
	char reason[256];

	if (!task->operation || task->is_awaited || task->is_undone)
		return;
	snprintf(reason, sizeof(reason),
		 "%s; it was killed, because its device memory was no longer its own",
		 why ? why : "it could not be returned to its prior state");
	if (!has_ended(task))
		kill_task(task, reason);
	ccr__memory_commit(task); /* others of its tree wait for it */
}

void ccr__memory_finish(int stage, struct task *const *tasks, size_t nr)
{
	bool is_replaced = false;
	struct task *task;

	ccr__memory_poll();
	for (size_t i = 0; stage == STAGE_DUMP && i < nr; i++)
		kill_unreturned(tasks[i]);
	for (size_t i = 0; i < nr; i++)
		note_earlier(tasks[i]);
	while (awaited(tasks, nr, 0)) {
		struct ccr_message reply;
		int ret = ccr_message_receive(ccr__pool_link.socket, &reply, NULL, NULL,
					      ccr__plugin.settings.lock_timeout_ms);

		if (ret == -ETIMEDOUT) {
			for (size_t i = 0; i < nr; i++)
				if (tasks[i]->is_awaited)
					check_awaited(tasks[i]);
			continue;
		}
		if (ret && !is_replaced) {
			is_replaced = true;
			ret = switch_to_helper(stage, tasks, nr);
		} else if (!ret) {
			task = awaited(tasks, nr, reply.operation);
			if (task && reply.type == CCR_MSG_OP_GIVEN)
				note_given(task, reply.result, reply.done.text);
			else if (task && is_replaced && reply.type == CCR_MSG_OP_RESULT)
				kill_task(task, reply.done.text);
		}
		if (ret)
			break;
	}
	while ((task = awaited(tasks, nr, 0)))
		kill_task(task, "there is no pool to return its device memory");
	end_session();
}
