// SPDX-License-Identifier: GPL-2.0-only
/*
 * Custom storage: the driver maps the memory of a process into the caller of its
 * Checkpoint and Restore. That caller is the pool, never criu: it has contexts,
 * streams and staging buffers, and a call that hangs is then in a process that can be
 * ended. While it works, criu keeps the restore thread of the task running.
 */
#include "plugin/device/device.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/protocol/message.h"
#include "common/process.h"
#include "plugin/device/pool_link.h"
#include "plugin/device/through_pool.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/task/proc_status.h"
#include "plugin/task/restore_thread.h"
#include "plugin/task/task.h"

#define POLL_MS 5
/* How often to look whether the task has ended, which not every call notices. */
#define LOOK_MS 500

static const char *failure(int ret)
{
	if (ret == -EPIPE)
		return "cuda-poold has ended";
	if (ret == -ETIMEDOUT)
		return "cuda-poold does not answer in time";
	if (ret == -ESRCH && !*ccr__pool_link.error)
		return "the process has ended";
	return *ccr__pool_link.error ? ccr__pool_link.error : strerror(-ret);
}

/* The reason for those who ask later. */
static void note_failure(int ret)
{
	if (ret && !*ccr__pool_link.error)
		snprintf(ccr__pool_link.error, sizeof(ccr__pool_link.error), "%s", failure(ret));
}

/* ---- the exchange with the pool ---- */

/* The process at the other end, or 0: the kernel adds its credentials to each message. */
static pid_t peer_of(int socket)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr msg = {.msg_control = &control, .msg_controllen = sizeof(control)};
	struct ucred credentials = {0};

	if (recvmsg(socket, &msg, MSG_PEEK | MSG_DONTWAIT) < 0)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
	return credentials.pid;
}

/* Waits like ccr__pool_reply, but resumes the restore thread after a signal. */
static int await(enum ccr_message_type expected, const struct task *task, double deadline,
		 pid_t *peer)
{
	struct pollfd poller = {.fd = ccr__pool_link.socket, .events = POLLIN};
	double next_look = ccr__now_ms() + LOOK_MS;
	struct ccr_message reply;
	bool was_dying = false;

	for (;;) {
		const int ready = poll(&poller, 1, POLL_MS);
		bool is_other = true;
		int ret;

		ccr__restore_thread_keep_running();
		if (ccr__now_ms() > next_look) {
			const bool is_dying = ccr_is_dying(task->pid);

			if (is_dying && was_dying)
				return -ESRCH;
			was_dying = is_dying;
			next_look = ccr__now_ms() + LOOK_MS;
		}
		if (ready > 0) {
			if (!*peer)
				*peer = peer_of(poller.fd);
			ret = ccr__pool_reply_one(expected, task->storage, &reply, &is_other);
			if (!is_other)
				return ret;
		}
		if (ccr__now_ms() > deadline)
			return -ETIMEDOUT;
	}
}

/* A helper in which a call of the driver hangs would not end by itself. */
static void end_helper(pid_t peer)
{
	if (ccr__pool_link.is_daemon || peer <= 1)
		return;
	ccr_err("context pool: killing the helper %d, which waits for the driver", peer);
	kill(peer, SIGKILL);
}

static int exchange(enum ccr_message_type type, const struct task *task)
{
	const struct ccr_settings *s = &ccr__plugin.settings;
	const int on = 1;
	pid_t peer = 0;
	int ret;

	*ccr__pool_link.error = '\0';
	setsockopt(ccr__pool_link.socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	ret = ccr__pool_request(type, task, CCR_OP_IMAGES | CCR_OP_STATUS | CCR_OP_PIDFD);
	if (!ret)
		ret = await(CCR_MSG_OP_READY, task, ccr__now_ms() + s->step_timeout_ms, &peer);
	if (!ret)
		ret = await(CCR_MSG_OP_RESULT, task,
			    ccr__now_ms() + s->step_timeout_ms + s->copy_timeout_ms, &peer);
	if (ret == -ETIMEDOUT || (ret == -ESRCH && ccr_is_dying(task->pid)))
		end_helper(peer);
	return ret;
}

/* ---- dump ---- */

/* Why the driver does not hand the memory of the task over; NULL if it does. */
static const char *why_not(void)
{
	const struct ccr_settings *s = &ccr__plugin.settings;

	if (s->storage == CCR_STORAGE_OFF)
		return "CRIU_CUDA_STORAGE is off";
	if (!s->parallel_restore)
		return "CRIU_CUDA_PARALLEL_RESTORE is 0";
	if (!ccr_driver_has_storage(&ccr__plugin.driver))
		return "the driver has no custom storage, which begins with driver 615";
	return NULL;
}

bool ccr__storage_is_used(void)
{
	return !why_not();
}

int ccr__storage_begin(struct task *task)
{
	const bool is_required = ccr__plugin.settings.storage == CCR_STORAGE_DRIVER;
	const char *const reason = why_not();
	int ret;

	if (task->operation) /* the interceptor has handed it over */
		return 0;
	if (reason && is_required) {
		ccr_err("%d: CRIU_CUDA_STORAGE is driver, but %s", task->pid, reason);
		return -ENOTSUP;
	}
	if (reason)
		return 0;
	ccr__pool_link.images_dir = criu_get_image_dir();
	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0)
		return task->image_pid;
	/* The pool initializes its driver while the task is locked and frozen. */
	ret = ccr__pool_connect();
	if (ret)
		return is_required ? ret : 0;
	task->storage = ccr__memory_next_operation();
	return ccr__watcher_track(task);
}

static bool is_locked(const struct task *task)
{
	CUprocessState state;

	return ccr__task_state(task->pid, &state) == CUDA_SUCCESS &&
	       state == CU_PROCESS_STATE_LOCKED;
}

static CUresult store(const struct task *task)
{
	int ret = exchange(CCR_MSG_OP_STORE, task);

	/* A daemon that is ending, or one of another version: then it has not begun. */
	if (ret == -EPIPE && ccr__pool_link.is_daemon && is_locked(task) &&
	    !ccr__pool_replace(failure(ret)))
		ret = exchange(CCR_MSG_OP_STORE, task);
	note_failure(ret);
	return ret ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}

int ccr__storage_checkpoint(struct task *task)
{
	if (!task->storage)
		return 1;
	if (ccr__task_step(task, "checkpoint", store) == CUDA_SUCCESS) {
		task->memory.reason = NULL;
		return 0;
	}
	ccr_err("%d: its device memory is not saved: %s", task->pid, failure(-EIO));
	/* When its image cannot be written, an undo brings it back. */
	if (ccr__plugin.settings.storage == CCR_STORAGE_DRIVER || !is_locked(task))
		return -EIO;
	ccr__pool_note_fallback(task->pid, "driver", failure(-EIO));
	task->storage = 0;
	return ccr__watcher_track(task) ? -EIO : 1;
}

/* ---- restore, and undo ---- */

static CUresult unstore(const struct task *task)
{
	int ret = exchange(CCR_MSG_OP_UNSTORE, task);

	/* Another pool has the image, and the driver's state says how far the first one was. */
	if ((ret == -EPIPE || ret == -ETIMEDOUT) && !ccr__pool_replace(failure(ret)))
		ret = exchange(CCR_MSG_OP_UNSTORE, task);
	note_failure(ret);
	switch (ret) {
	case 0:
		return CUDA_SUCCESS;
	case -EBUSY: /* a caller has died, which the driver may not have noticed yet */
		return CUDA_ERROR_NOT_READY;
	case -ENOMEM:
		return CUDA_ERROR_OUT_OF_MEMORY;
	default:
		return CUDA_ERROR_OPERATING_SYSTEM;
	}
}

static CUresult restore_through_pool(const struct task *task, const char **call)
{
	static char reason[300];
	const CUresult result = ccr__task_step(task, "restore", unstore);

	if (result == CUDA_SUCCESS)
		return result;
	snprintf(reason, sizeof(reason), "restore from its GPU image (%s)", failure(-EIO));
	*call = reason;
	return result;
}

CUresult ccr__storage_undo(const struct task *task, const char **call)
{
	CUprocessState state;

	if (!task->storage)
		return CUDA_SUCCESS;
	/* The undo of a dump that failed before the Checkpoint. */
	if (ccr__task_state(task->pid, &state) == CUDA_SUCCESS &&
	    (state == CU_PROCESS_STATE_RUNNING || state == CU_PROCESS_STATE_LOCKED))
		return CUDA_SUCCESS;
	return restore_through_pool(task, call);
}

CUresult ccr__storage_restore(struct task *task, const char **call)
{
	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0 || !ccr__files_have_driver(task->image_pid))
		return CUDA_SUCCESS;
	task->storage = ccr__memory_next_operation();
	return restore_through_pool(task, call);
}
