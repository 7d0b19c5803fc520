// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory through the pool: the interceptor's service thread in the task
 * hands its allocations to cuda-poold, which moves the bytes. This file only
 * says when, and rings the bell.
 */
#include "plugin/memory.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/doorbell.h"
#include "plugin/pool_link.h"

/* For the pool to start: cuInit and a context on a cold GPU. */
#define READY_TIMEOUT_MS 60000
/* Copying has no limit of its own; an hour tells a hung device from a slow disk. */
#define COPY_TIMEOUT_MS 3600000
/* Dropping memory takes milliseconds. */
#define END_TIMEOUT_MS 10000

static int ring(const struct task *task)
{
	const int ret = ccr__doorbell_ring(task->pid, task->service_tid, task->operation);

	if (ret)
		ccr_err("%d: cannot signal its service thread %d: %s", task->pid, task->service_tid,
			strerror(-ret));
	return ret;
}

/* ---- dump ---- */

static bool pool_wanted(const struct task *task)
{
	if (!task->service_tid)
		ccr_info("%d: no interceptor, device memory is left to the driver", task->pid);
	else if (!ccr__plugin.settings.parallel_restore)
		ccr_info("%d: CRIU_CUDA_PARALLEL_RESTORE=0, device memory is left to the driver",
			 task->pid);
	else
		return true;
	return false;
}

static int begin_dump(struct task *task)
{
	const uint32_t fds = CCR_OP_IMAGES | CCR_OP_STATUS | CCR_OP_VAULT | CCR_OP_PIDFD;
	struct ccr_message reply;
	int ret;

	ccr__pool_link.images_dir = criu_get_image_dir();
	ret = ccr__vault_open();
	if (!ret)
		ret = ccr__pool_connect();
	if (!ret)
		ret = ccr__pool_request(CCR_MSG_OP_DUMP, task, fds);
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_READY, 0, &reply, READY_TIMEOUT_MS);
	if (ret != -EPIPE || !ccr__pool_link.is_daemon)
		goto out;
	/* A daemon that is ending, or another version. */
	ret = ccr__pool_replace();
	if (!ret)
		ret = ccr__pool_request(CCR_MSG_OP_DUMP, task, fds);
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_READY, 0, &reply, READY_TIMEOUT_MS);
out:
	if (!ret)
		task->operation = reply.operation;
	return ret;
}

int ccr__memory_evict(struct task *task)
{
	struct ccr_message reply;
	int ret;

	task->service_tid = ccr__service_thread(task->pid);
	if (task->service_tid < 0)
		return task->service_tid;
	if (!pool_wanted(task)) {
		task->service_tid = 0;
		return 0;
	}
	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0)
		return task->image_pid;
	ret = begin_dump(task);
	if (!ret)
		ret = ccr__watcher_track(task);
	if (!ret)
		ret = ring(task);
	if (ret)
		goto kept;
	ret = ccr__pool_reply(CCR_MSG_OP_HELD, task->operation, &reply, COPY_TIMEOUT_MS);
	if (ret == -EPIPE) /* before or after the task gave its memory up? The watcher finds out */
		return ret;
	if (ret)
		goto kept;
	ccr_info("%d: %llu bytes in %llu allocations taken over in %.1f ms", task->pid,
		 (unsigned long long)reply.done.bytes, (unsigned long long)reply.done.nr_handles,
		 reply.done.wait_ms);
	return 0;
kept:
	task->operation = 0;
	return ret;
}

int ccr__memory_saved(struct task *task)
{
	struct ccr_message reply;
	int ret;

	if (!task->operation)
		return 0;
	if (task->is_saved)
		return task->save_result;
	ret = ccr__pool_reply(CCR_MSG_OP_RESULT, task->operation, &reply, COPY_TIMEOUT_MS);
	if (!ret)
		ccr_info("%d: device memory saved in %.1f ms", task->pid, reply.done.copy_ms);
	return ret;
}

int ccr__memory_roll_back(struct task *task)
{
	int ret;

	if (!task->operation)
		return 0;
	ccr_status_add(&ccr__plugin.status, "{\"event\":\"attaching\",\"pid\":%d}", task->pid);
	task->is_awaited = true;
	ret = ccr__pool_request(CCR_MSG_OP_ROLL_BACK, task, 0);
	if (!ret)
		ret = ring(task);
	/* Without the pool the watcher gives back what is in the vault. */
	return ret == -EPIPE ? 0 : ret;
}

void ccr__memory_commit(const struct task *task)
{
	if (task->operation)
		ccr__pool_request(CCR_MSG_OP_COMMIT, task, 0);
}

/* ---- restore ---- */

static bool has_gpu_image(pid_t image_pid)
{
	char name[32];
	struct stat st;

	snprintf(name, sizeof(name), "cuda-%d.img", image_pid);
	return !fstatat(ccr__pool_link.images_dir, name, &st, 0);
}

static int request_load(void)
{
	struct ccr_message reply;
	int ret;

	ret = ccr__pool_request(CCR_MSG_OP_RESTORE, NULL, CCR_OP_IMAGES | CCR_OP_STATUS);
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_RESULT, 0, &reply, READY_TIMEOUT_MS);
	if (!ret)
		ccr_info("context pool: %s", reply.done.text);
	return ret;
}

int ccr__memory_load_begin(void)
{
	int ret;

	ccr__pool_link.images_dir = criu_get_image_dir();
	if (!ccr__gpu_images_in(ccr__pool_link.images_dir))
		return 0;
	ret = ccr__begin(STAGE_RESTORE);
	if (!ret)
		ret = ccr__pool_connect();
	if (!ret)
		ret = request_load();
	if (ret == -EPIPE && ccr__pool_link.is_daemon) {
		ret = ccr__pool_replace();
		if (!ret)
			ret = request_load();
	}
	return ret;
}

static int request_attach(struct task *task)
{
	struct ccr_message reply;
	int ret;

	ret = ccr__pool_request(CCR_MSG_OP_ATTACH, task, CCR_OP_PIDFD);
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_READY, 0, &reply, READY_TIMEOUT_MS);
	if (!ret)
		task->operation = reply.operation;
	return ret;
}

int ccr__memory_attach(struct task *task)
{
	int ret;

	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0)
		return task->image_pid;
	if (!has_gpu_image(task->image_pid))
		return 0;
	task->service_tid = ccr__service_thread(task->pid);
	if (task->service_tid <= 0) {
		ccr_err("%d has a GPU image, but no interceptor thread in it", task->pid);
		return -ESRCH;
	}
	ret = request_attach(task);
	if (ret == -EPIPE) {
		ret = ccr__pool_replace();
		if (!ret)
			ret = request_load();
		if (!ret)
			ret = request_attach(task);
	}
	if (ret)
		return ret;
	task->is_awaited = true;
	ret = ccr__watcher_track(task);
	if (!ret)
		ret = ring(task);
	if (!ret) /* the reader of the file waits for the pool's «attach» line of this pid */
		ccr_status_add(&ccr__plugin.status, "{\"event\":\"attaching\",\"pid\":%d}",
			       task->pid);
	return ret;
}

bool ccr__memory_has_pool(void)
{
	return ccr__pool_link.socket >= 0;
}

/* ---- the watcher ---- */

void ccr__memory_fds(int fds[CCR_MEMORY_FDS])
{
	fds[0] = ccr__pool_link.socket;
	fds[1] = ccr__pool_link.vault[0];
	fds[2] = ccr__pool_link.images_dir;
}

void ccr__memory_fds_passed(void)
{
	/* Its only reader is the watcher from here on: without it the pool must notice. */
	if (ccr__pool_link.vault[0] >= 0)
		close(ccr__pool_link.vault[0]);
	ccr__pool_link.vault[0] = -1;
}

static void keep(int *mine, int fd)
{
	if (fd < 0)
		return;
	if (*mine >= 0)
		close(*mine);
	*mine = fd;
}

void ccr__memory_keep_fds(const int fds[CCR_MEMORY_FDS])
{
	keep(&ccr__pool_link.socket, fds[0]);
	keep(&ccr__pool_link.vault[0], fds[1]);
	keep(&ccr__pool_link.images_dir, fds[2]);
}

int ccr__memory_poll_fd(void)
{
	return ccr__pool_link.vault[0];
}

void ccr__memory_poll(void)
{
	ccr__vault_take();
}

/* The pool died: everybody who still waits gets the memory from a helper. 0 or -errno. */
static int ask_another(int stage, struct task *const *tasks, size_t nr)
{
	int ret = ccr__pool_replace();

	if (!ret && stage == STAGE_RESTORE)
		ret = request_load();
	for (size_t i = 0; !ret && i < nr; i++) {
		struct task *task = tasks[i];
		struct ccr_message reply;

		if (!task->is_awaited)
			continue;
		if (stage == STAGE_RESTORE) {
			ret = request_attach(task);
		} else {
			ret = ccr__pool_request(CCR_MSG_OP_RECLAIM, task,
						CCR_OP_STATUS | CCR_OP_PIDFD);
			if (!ret)
				ret = ccr__vault_send(task->operation);
			if (!ret)
				ret = ccr__pool_reply(CCR_MSG_OP_READY, 0, &reply,
						      READY_TIMEOUT_MS);
			if (!ret)
				task->operation = reply.operation;
		}
		if (!ret)
			ret = ring(task);
	}
	return ret;
}

static struct task *awaited(struct task *const *tasks, size_t nr, uint32_t operation)
{
	for (size_t i = 0; i < nr; i++)
		if (tasks[i]->is_awaited && (!operation || tasks[i]->operation == operation))
			return tasks[i];
	return NULL;
}

/* Not on wrong memory, nor behind a closed gate for ever. */
static void give_up(struct task *task, const char *reason)
{
	task->is_awaited = false;
	syscall(SYS_pidfd_send_signal, task->pidfd, SIGKILL, NULL, 0);
	ccr__task_outcome(task, "failed", reason);
}

/* Until the pool has let go of what it does not keep: whoever waits for us finds the device free.
 */
static void end_session(void)
{
	struct ccr_message last;

	if (ccr__pool_link.socket < 0)
		return;
	shutdown(ccr__pool_link.socket, SHUT_WR);
	while (!ccr_message_receive(ccr__pool_link.socket, &last, NULL, NULL, END_TIMEOUT_MS))
		;
}

void ccr__memory_settle(int stage, struct task *const *tasks, size_t nr)
{
	bool is_replaced = false;
	struct task *task;

	while (ccr__vault_take())
		;
	while (awaited(tasks, nr, 0)) {
		struct ccr_message reply;
		int ret = ccr_message_receive(ccr__pool_link.socket, &reply, NULL, NULL, -1);

		if (ret && !is_replaced) {
			is_replaced = true;
			ret = ask_another(stage, tasks, nr);
		} else if (!ret && reply.type == CCR_MSG_OP_GIVEN) {
			task = awaited(tasks, nr, reply.operation);
			if (task && reply.result)
				give_up(task, reply.done.text);
			else if (task)
				task->is_awaited = false;
		}
		if (ret)
			break;
	}
	while ((task = awaited(tasks, nr, 0)))
		give_up(task, "no pool to give its device memory back");
	end_session();
	ccr__sweep_sockets(ccr__plugin.settings.run_dir);
}
