// SPDX-License-Identifier: GPL-2.0-only
/*
 * The watcher: a detached process that outlives criu and looks at what it left
 * behind. CRIU does not tell a plugin that a post-dump script failed, and can
 * tell nobody when it is killed; either way the application would stay locked
 * or checkpointed for ever, or a half restored one would run. The watcher gets
 * each task by a socket that only criu holds; end of file means criu is gone.
 * After a dump it puts the prior states back in tasks that still live, and lets
 * the pool drop the memory of the dead; after a restore that was never
 * completed it kills the tasks.
 */
#include "plugin/plugin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/memory.h"

#define MAX_WATCHED 4096
#define PF_EXITING  0x4 /* field 9 of /proc/PID/stat; linux/sched.h */

enum { MSG_TRACK, MSG_RELEASE };

/* One packet; MSG_TRACK may carry the connection to the pool. */
struct message {
	int kind;
	struct task task;
};

struct watched {
	struct task task;
	int pidfd;
};

static struct watched watched[MAX_WATCHED];
static int nr_watched;

union fd_room {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

static int send_message(const struct message *message, int fd)
{
	struct iovec iov = {.iov_base = (void *)message, .iov_len = sizeof(*message)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_room control = {.head = {.cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS,
					  .cmsg_len = CMSG_LEN(sizeof(int))}};
	ssize_t len;

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	do
		len = sendmsg(ccr__plugin.watcher_fd, &msg, MSG_NOSIGNAL);
	while (len < 0 && errno == EINTR);
	if (len == sizeof(*message))
		return 0;
	ccr_err("watcher: %s", strerror(errno));
	return -EPIPE;
}

int ccr__watcher_track(const struct task *task)
{
	const struct message message = {.kind = MSG_TRACK, .task = *task};

	return send_message(&message, ccr__memory_fd());
}

void ccr__watcher_release(void)
{
	const struct message message = {.kind = MSG_RELEASE};

	if (ccr__plugin.watcher_fd >= 0)
		send_message(&message, -1);
}

/* One packet; false when criu is gone. */
static bool next_message(int fd, struct message *message)
{
	struct iovec iov = {.iov_base = message, .iov_len = sizeof(*message)};
	union fd_room control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *head;
	int pool_fd;
	ssize_t len;

	do
		len = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len != sizeof(*message))
		return false;
	head = CMSG_FIRSTHDR(&msg);
	if (!head)
		return true;
	memcpy(&pool_fd, CMSG_DATA(head), sizeof(pool_fd));
	if (ccr__memory_fd() < 0)
		ccr__memory_set_fd(pool_fd);
	else
		close(pool_fd);
	return true;
}

static void track(const struct task *task)
{
	struct watched *w = watched;

	while (w < watched + nr_watched && w->task.pid != task->pid)
		w++;
	if (w == watched + nr_watched) {
		if (nr_watched == MAX_WATCHED)
			return;
		w->pidfd = syscall(SYS_pidfd_open, task->pid, 0);
		if (w->pidfd < 0)
			return;
		nr_watched++;
	}
	w->task = *task;
}

/* Collects the tasks until criu is gone. */
static void receive(int fd)
{
	struct message message;

	while (next_message(fd, &message)) {
		if (message.kind == MSG_RELEASE)
			nr_watched = 0;
		else
			track(&message.task);
	}
}

static bool ended(int pidfd)
{
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};

	return poll(&poller, 1, 0) > 0;
}

/* True once a SIGKILL is on its way: the process is as good as gone. */
static bool dying(pid_t pid)
{
	char path[64], line[256];
	unsigned long long pending, flags = 0;
	bool killed = false, gone;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "SigPnd: %llx", &pending) == 1 ||
		    sscanf(line, "ShdPnd: %llx", &pending) == 1)
			killed |= pending >> (SIGKILL - 1) & 1;
	if (file)
		fclose(file);
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	gone = !file;
	if (file && fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %llu", &flags) != 1)
		flags = 0;
	if (file)
		fclose(file);
	return gone || killed || flags & PF_EXITING;
}

static void put_back(const struct task *task)
{
	const char *call;
	CUresult result;

	result = ccr__task_raise(task, task->prior, &call);
	if (result != CUDA_SUCCESS)
		ccr__task_outcome(task, "failed", ccr_cuda_error_name(result));
	else if (ccr__memory_roll_back(task))
		ccr__task_outcome(task, "failed", "the pool does not give its device memory back");
	else
		ccr__task_outcome(task, "rolled-back", NULL);
}

static void watch(int stage, int fd)
{
	receive(fd);
	for (int i = 0; i < nr_watched; i++) {
		const struct watched *w = &watched[i];

		if (ended(w->pidfd) || dying(w->task.pid)) {
			ccr__memory_commit(&w->task);
			continue;
		}
		if (stage == STAGE_RESTORE) {
			syscall(SYS_pidfd_send_signal, w->pidfd, SIGKILL, NULL, 0);
			ccr__task_outcome(&w->task, "failed",
					  "criu ended before the restore was complete");
		} else {
			put_back(&w->task);
		}
	}
	_exit(0);
}

static void watcher_main(int stage, int fd)
{
	ccr_status_add(&ccr__plugin.status, "{\"event\":\"watcher\",\"pid\":%d}", getpid());
	ccr__memory_set_fd(-1);
	watch(stage, fd);
}

int ccr__watcher_start(int stage)
{
	const int fd = ccr__companion_start("cuda-watcher", watcher_main, stage);

	if (fd < 0)
		return fd;
	ccr__plugin.watcher_fd = fd;
	return 0;
}
