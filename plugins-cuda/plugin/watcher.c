// SPDX-License-Identifier: GPL-2.0-only
/*
 * The watcher: a detached process that outlives criu and looks at what it left
 * behind. CRIU does not tell a plugin that a post-dump script failed, and can
 * tell nobody when it is killed; either way the application would stay locked
 * or checkpointed for ever, or a half restored one would run. The watcher gets
 * each task by a socket that only criu holds; end of file means criu is gone.
 * After a dump it puts the prior states back in tasks that still live, and lets
 * the pool drop the memory of the dead; after a restore that was never
 * completed it kills the tasks. It ends when every task has its device memory,
 * though criu may stay as the parent of what it restored.
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

#include "plugin/device/device.h"

#define MAX_WATCHED 4096
/* Nothing announces that criu has let a task go; its last scripts may still fail then. */
#define LET_GO_POLL_MS 1000
#define PF_EXITING     0x4 /* field 9 of /proc/PID/stat; linux/sched.h */

enum { MSG_TRACK, MSG_RELEASE };

/* One packet; MSG_TRACK carries those of the descriptors that `fds` names, in order. */
struct message {
	int kind;
	uint32_t fds;
	struct task task;
};

static struct task *watched[MAX_WATCHED];
static size_t nr_watched;
static bool is_released; /* the plugin itself has put every state back, or restored it */

union fd_room {
	struct cmsghdr head;
	char room[CMSG_SPACE(CCR_MEMORY_FDS * sizeof(int))];
};

static int send_message(struct message *message, const int fds[CCR_MEMORY_FDS])
{
	struct iovec iov = {.iov_base = message, .iov_len = sizeof(*message)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_room control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	ssize_t len;
	int nr = 0;

	for (int i = 0; i < CCR_MEMORY_FDS; i++) {
		if (fds[i] < 0)
			continue;
		memcpy(CMSG_DATA(&control.head) + nr++ * sizeof(int), &fds[i], sizeof(int));
		message->fds |= 1u << i;
	}
	if (nr) {
		control.head.cmsg_len = CMSG_LEN(nr * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
	}
	do
		len = sendmsg(ccr__plugin.watcher_fd, &msg, MSG_NOSIGNAL);
	while (len < 0 && errno == EINTR);
	return len == sizeof(*message) ? 0 : -errno;
}

int ccr__watcher_track(const struct task *task)
{
	struct message message = {.kind = MSG_TRACK, .task = *task};
	int fds[CCR_MEMORY_FDS], ret;

	ccr__memory_fds(fds);
	ret = send_message(&message, fds);
	if (ret)
		ccr_err("watcher: %s", strerror(-ret));
	else
		ccr__memory_fds_passed();
	return ret;
}

void ccr__watcher_release(void)
{
	struct message message = {.kind = MSG_RELEASE};
	const int none[CCR_MEMORY_FDS] = {-1, -1, -1};

	/* It may have seen so itself, and be gone. */
	if (ccr__plugin.watcher_fd >= 0)
		send_message(&message, none);
}

static void take_fds(const struct message *message, struct msghdr *msg)
{
	const struct cmsghdr *head = CMSG_FIRSTHDR(msg);
	int fds[CCR_MEMORY_FDS], nr = 0;

	for (int i = 0; i < CCR_MEMORY_FDS; i++) {
		fds[i] = -1;
		if (head && message->fds & 1u << i)
			memcpy(&fds[i], CMSG_DATA(head) + nr++ * sizeof(int), sizeof(int));
	}
	ccr__memory_keep_fds(fds);
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
	ssize_t len;

	do
		len = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len != sizeof(*message))
		return false;
	take_fds(message, &msg);
	return true;
}

static void track(const struct task *task)
{
	struct task *mine = NULL;
	int pidfd;

	for (size_t i = 0; !mine && i < nr_watched; i++)
		if (watched[i]->pid == task->pid)
			mine = watched[i];
	if (!mine) {
		if (nr_watched == MAX_WATCHED)
			return;
		mine = malloc(sizeof(*mine));
		pidfd = mine ? (int)syscall(SYS_pidfd_open, task->pid, 0) : -1;
		if (pidfd < 0) {
			free(mine);
			return;
		}
		watched[nr_watched++] = mine;
	} else {
		pidfd = mine->pidfd;
	}
	*mine = *task;
	mine->pidfd = pidfd;
}

static bool ended(int pidfd)
{
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};

	return poll(&poller, 1, 0) > 0;
}

static bool is_traced(pid_t pid)
{
	char tracer[32];

	return !ccr__proc_status(pid, "TracerPid", tracer, sizeof(tracer)) &&
	       strtol(tracer, NULL, 10) != 0;
}

/*
 * criu traces all tasks until all of them are complete. It may then stay as
 * their parent for as long as they live, and tells plugins nothing before its end.
 */
static bool are_let_go(void)
{
	size_t nr_living = 0;

	for (size_t i = 0; i < nr_watched; i++) {
		if (ended(watched[i]->pidfd))
			continue;
		if (is_traced(watched[i]->pid))
			return false;
		nr_living++;
	}
	return nr_living > 0;
}

/* Collects the tasks, and what the memory part keeps for them, until criu is done with them. */
static void receive(int stage, int fd)
{
	bool was_let_go = false;

	for (;;) {
		struct pollfd pollers[] = {{.fd = fd, .events = POLLIN},
					   {.fd = ccr__memory_poll_fd(), .events = POLLIN}};
		const int ready = poll(pollers, 2, stage == STAGE_RESTORE ? LET_GO_POLL_MS : -1);
		struct message message;

		if (!ready && are_let_go()) {
			is_released = was_let_go;
			was_let_go = true;
			if (is_released)
				return;
		}
		if (ready <= 0)
			continue;
		if (pollers[1].revents)
			ccr__memory_poll();
		if (!pollers[0].revents)
			continue;
		if (!next_message(fd, &message))
			return;
		if (message.kind == MSG_RELEASE)
			is_released = true;
		else
			track(&message.task);
	}
}

static bool has_pending_kill(pid_t pid, const char *field)
{
	char pending[32];

	return !ccr__proc_status(pid, field, pending, sizeof(pending)) &&
	       strtoull(pending, NULL, 16) >> (SIGKILL - 1) & 1;
}

bool ccr__is_dying(pid_t pid)
{
	const bool is_killed = has_pending_kill(pid, "SigPnd") || has_pending_kill(pid, "ShdPnd");
	unsigned long long flags = 0;
	char path[64];
	bool gone;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	gone = !file;
	if (file && fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %llu", &flags) != 1)
		flags = 0;
	if (file)
		fclose(file);
	return gone || is_killed || flags & PF_EXITING;
}

/*
 * criu was killed while the driver's lock waited for the GPU: the lock is still
 * to come. An unlock has its turn after it; a process that is not locked then
 * refuses it, which is no failure.
 */
static void end_pending_lock(const struct task *task)
{
	CUprocessState state;

	if (ccr__plugin.driver.cuCheckpointProcessGetState(task->pid, &state) == CUDA_SUCCESS &&
	    state == CU_PROCESS_STATE_RUNNING)
		ccr__plugin.driver.cuCheckpointProcessUnlock(task->pid, NULL);
}

static void put_back(struct task *task)
{
	const char *call;
	CUresult result;

	end_pending_lock(task);
	result = ccr__task_raise(task, task->prior, &call);
	if (result != CUDA_SUCCESS)
		ccr__task_outcome(task, "failed", ccr_cuda_error_name(result));
	else if (ccr__memory_roll_back(task))
		ccr__task_outcome(task, "failed", "the pool does not give its device memory back");
	else
		ccr__task_outcome(task, "rolled-back", NULL);
}

static void look_after(int stage, struct task *task)
{
	if (ended(task->pidfd) || ccr__is_dying(task->pid)) {
		if (stage == STAGE_DUMP)
			ccr__memory_commit(task);
		task->is_awaited = false;
	} else if (is_released || (stage == STAGE_DUMP && task->is_awaited)) {
		return; /* criu itself has put it back */
	} else if (stage == STAGE_RESTORE) {
		syscall(SYS_pidfd_send_signal, task->pidfd, SIGKILL, NULL, 0);
		ccr__task_outcome(task, "failed", "criu ended before the restore was complete");
		task->is_awaited = false;
	} else {
		put_back(task);
	}
}

static void watch(int stage, int fd)
{
	receive(stage, fd);
	for (size_t i = 0; i < nr_watched; i++)
		look_after(stage, watched[i]);
	ccr__memory_settle(stage, watched, nr_watched);
	_exit(0);
}

static void watcher_main(int stage, int fd)
{
	ccr_status_add(&ccr__plugin.status, "{\"event\":\"watcher\",\"pid\":%d}", getpid());
	watch(stage, fd);
}

int ccr__watcher_start(int stage)
{
	const int fd = ccr__companion_start("cuda-watcher", watcher_main, stage);

	if (fd < 0)
		return fd;
	ccr__plugin.watcher_fd = fd;
	ccr__warmer_passed();
	return 0;
}
