// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/watch/watcher_message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "plugin/task/restore_thread.h"

union fd_room {
	struct cmsghdr head;
	char room[CMSG_SPACE(WATCHER_SLOTS * sizeof(int))];
};

void ccr__watcher_no_fds(int fds[WATCHER_SLOTS])
{
	for (int i = 0; i < WATCHER_SLOTS; i++)
		fds[i] = -1;
}

int ccr__watcher_send(struct watcher_message *message, const int fds[WATCHER_SLOTS])
{
	struct iovec iov = {.iov_base = message, .iov_len = sizeof(*message)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_room control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	ssize_t len;
	int nr = 0;

	for (int i = 0; i < WATCHER_SLOTS; i++) {
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

static int receive_answer(struct watcher_answer *answer, double deadline)
{
	struct pollfd poller = {.fd = ccr__plugin.watcher_fd, .events = POLLIN};
	int ready;

	do {
		const double left = deadline - ccr__now_ms();

		ready = poll(&poller, 1, left > 0 ? (int)left + 1 : 0);
	} while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return ready ? -errno : -ETIMEDOUT;
	return recv(poller.fd, answer, sizeof(*answer), 0) == sizeof(*answer) ? 0 : -EPIPE;
}

/* Ignores those that came too late for their own questions, or twice. */
static int await_answer(uint32_t question)
{
	const double deadline = ccr__now_ms() + ccr__plugin.settings.step_timeout_ms;
	struct watcher_answer answer;
	int ret;

	do
		ret = receive_answer(&answer, deadline);
	while (!ret && answer.question != question);
	return ret ? ret : answer.result;
}

int ccr__watcher_ask(struct watcher_message *message, const int fds[WATCHER_SLOTS])
{
	static uint32_t questions;
	int ret;

	message->question = ++questions;
	ret = ccr__watcher_send(message, fds);
	return ret ? ret : await_answer(message->question);
}

static void take_fds(const struct watcher_message *message, struct msghdr *msg,
		     int fds[WATCHER_SLOTS])
{
	const struct cmsghdr *head = CMSG_FIRSTHDR(msg);
	/* Fewer than were sent where this process may have no more. */
	const size_t got = head ? (head->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	size_t nr = 0;

	for (int i = 0; i < WATCHER_SLOTS; i++) {
		fds[i] = -1;
		if (message->fds & 1u << i && nr < got)
			memcpy(&fds[i], CMSG_DATA(head) + nr++ * sizeof(int), sizeof(int));
	}
}

bool ccr__watcher_receive(int fd, struct watcher_message *message, int fds[WATCHER_SLOTS])
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
	take_fds(message, &msg, fds);
	return true;
}

void ccr__watcher_answer(int fd, const struct watcher_message *message, int result)
{
	const struct watcher_answer answer = {.question = message->question, .result = result};

	send(fd, &answer, sizeof(answer), MSG_NOSIGNAL);
}
