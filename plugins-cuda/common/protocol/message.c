// SPDX-License-Identifier: MIT
/* Uses no malloc and no locks, because the service thread uses it too. */
#include "common/protocol/message.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD offsetof(struct ccr_message, hello)

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(CCR_HANDLES_A_MESSAGE * sizeof(int))];
};

/* Also of a received message: 0 for an unknown type. */
size_t ccr_message_size(const struct ccr_message *m)
{
	switch (m->type) {
	case CCR_MSG_HELLO:
		return HEAD + sizeof(m->hello);
	case CCR_MSG_DEVICES:
		return HEAD + sizeof(m->devices);
	case CCR_MSG_HANDLES:
		return HEAD + sizeof(m->handles);
	case CCR_MSG_SHARED:
		return HEAD + sizeof(m->shared);
	case CCR_MSG_EXPORT:
		return HEAD + sizeof(m->exports);
	case CCR_MSG_EVICT:
		return HEAD + sizeof(m->evict);
	case CCR_MSG_QUIESCE:
		return HEAD + sizeof(m->quiesce);
	case CCR_MSG_ATTACH:
		return HEAD + sizeof(m->attach);
	case CCR_MSG_END:
	case CCR_MSG_DONE:
	case CCR_MSG_HELD:
	case CCR_MSG_PLACED:
	case CCR_MSG_OPEN:
	case CCR_MSG_OP_READY:
	case CCR_MSG_OP_QUIET:
		return HEAD;
	case CCR_MSG_FAILED:
	case CCR_MSG_QUIET:
	case CCR_MSG_ABORT:
		return HEAD + sizeof(m->failed);
	case CCR_MSG_OP_DUMP:
	case CCR_MSG_OP_COMMIT:
	case CCR_MSG_OP_ROLL_BACK:
	case CCR_MSG_OP_RESTORE:
	case CCR_MSG_OP_ATTACH:
	case CCR_MSG_OP_RECLAIM:
	case CCR_MSG_OP_LOADED:
	case CCR_MSG_OP_STORE:
	case CCR_MSG_OP_UNSTORE:
	case CCR_MSG_OP_JOIN:
	case CCR_MSG_OP_QUIESCE:
		return HEAD + sizeof(m->op);
	case CCR_MSG_OP_HELD:
	case CCR_MSG_OP_GIVEN:
	case CCR_MSG_OP_RESULT:
		return HEAD + sizeof(m->done);
	}
	return 0;
}

/* The protocol that introduced a type in its present form. */
static uint32_t since(uint32_t type)
{
	switch (type) {
	case CCR_MSG_QUIET:
	case CCR_MSG_PLACED:
	case CCR_MSG_SHARED:
	case CCR_MSG_QUIESCE:
	case CCR_MSG_OPEN:
	case CCR_MSG_EXPORT:
	case CCR_MSG_OP_QUIET:
		return 4;
	default:
		return type >= CCR_MSG_OP_DUMP && type <= CCR_MSG_OP_LAST ? 4 : 3;
	}
}

void ccr_message_init(struct ccr_message *message, enum ccr_message_type type, uint32_t operation)
{
	memset(message, 0, sizeof(*message));
	message->magic = CCR_PROTOCOL_MAGIC;
	message->version = type == CCR_MSG_HELLO ? CCR_PROTOCOL_VERSION : since(type);
	message->type = type;
	message->operation = operation;
}

int ccr_message_send(int socket, const struct ccr_message *message, const int *fds, int nr_fds)
{
	struct iovec iov = {.iov_base = (void *)message, .iov_len = ccr_message_size(message)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control;
	ssize_t len;

	if (!iov.iov_len || nr_fds < 0 || nr_fds > CCR_HANDLES_A_MESSAGE)
		return -EINVAL;
	if (nr_fds) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, nr_fds * sizeof(int));
	}
	do
		len = sendmsg(socket, &msg, MSG_NOSIGNAL);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

int ccr_message_send_waiting(int socket, const struct ccr_message *message, const int *fds,
			     int nr_fds, uint32_t timeout_ms)
{
	const struct timespec pause = {.tv_nsec = 200000};
	const uint64_t tries = timeout_ms * 1000000ull / pause.tv_nsec;

	for (uint64_t i = 0;; i++) {
		const int ret = ccr_message_send(socket, message, fds, nr_fds);

		if (ret != -ETOOMANYREFS || i >= tries)
			return ret;
		/* The kernel has no event to wait for. */
		nanosleep(&pause, NULL);
	}
}

static int wait_readable(int socket, int timeout_ms)
{
	struct pollfd poller = {.fd = socket, .events = POLLIN};
	int ready;

	do
		ready = poll(&poller, 1, timeout_ms);
	while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return -errno;
	return ready ? 0 : -ETIMEDOUT;
}

static int take_fds(struct msghdr *msg, int *fds)
{
	int nr = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		const int here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (nr + here <= CCR_HANDLES_A_MESSAGE)
			memcpy(fds + nr, CMSG_DATA(c), here * sizeof(int));
		nr += here;
	}
	return nr;
}

/* True when every descriptor is named, in order, and every part lies inside its memory. */
static bool handles_are_well_formed(const struct ccr_message *m, int nr_fds)
{
	uint32_t next = 0;

	if (m->handles.count > CCR_HANDLES_A_MESSAGE)
		return false;
	for (uint32_t i = 0; i < m->handles.count; i++) {
		const struct ccr_wire_handle *wire = &m->handles.entry[i];

		if (wire->fd == next)
			next++;
		else if (!next || wire->fd != next - 1)
			return false;
		if (wire->offset > wire->memory_size ||
		    wire->size > wire->memory_size - wire->offset)
			return false;
	}
	return next == (uint32_t)nr_fds;
}

static bool is_well_formed(const struct ccr_message *m, size_t len, int nr_fds)
{
	if (len < HEAD || m->magic != CCR_PROTOCOL_MAGIC || !ccr_protocol_is_supported(m->version))
		return false;
	/* What an earlier version does not have yet is zero. */
	if (len > ccr_message_size(m) ||
	    (len < ccr_message_size(m) && m->version >= since(m->type)))
		return false;
	if (m->type == CCR_MSG_HANDLES)
		return handles_are_well_formed(m, nr_fds);
	if (m->type == CCR_MSG_SHARED)
		return m->shared.count <= CCR_HANDLES_A_MESSAGE &&
		       m->shared.count == (uint32_t)nr_fds;
	if (m->type == CCR_MSG_EXPORT && m->exports.count > CCR_HANDLES_A_MESSAGE)
		return false;
	if (m->type == CCR_MSG_DEVICES && m->devices.count > CCR_MAX_DEVICES)
		return false;
	if (m->type >= CCR_MSG_OP_DUMP && m->type <= CCR_MSG_OP_LAST)
		return m->op.fds < 1u << CCR_OP_MAX_FDS &&
		       nr_fds == __builtin_popcount(m->op.fds) &&
		       m->op.map.count <= CCR_MAX_DEVICES;
	return nr_fds == 0;
}

int ccr_message_receive(int socket, struct ccr_message *message, int *fds, int *nr_fds,
			int timeout_ms)
{
	struct iovec iov = {.iov_base = message, .iov_len = sizeof(*message)};
	union control control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int received[CCR_HANDLES_A_MESSAGE], nr;
	ssize_t len;
	int ret;

	ret = wait_readable(socket, timeout_ms);
	if (ret)
		return ret;
	memset(message, 0, sizeof(*message));
	do
		len = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	nr = take_fds(&msg, received);
	if (nr > CCR_HANDLES_A_MESSAGE)
		nr = CCR_HANDLES_A_MESSAGE;
	if (!len)
		ret = -EPIPE;
	else if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !is_well_formed(message, len, nr))
		ret = -EPROTO;
	if (ret || !fds) {
		for (int i = 0; i < nr; i++)
			close(received[i]);
		return ret ? ret : (nr ? -EPROTO : 0);
	}
	memcpy(fds, received, nr * sizeof(int));
	*nr_fds = nr;
	return 0;
}

const char *ccr_protocol_range(void)
{
	static char text[48];

	if (CCR_PROTOCOL_MIN == CCR_PROTOCOL_VERSION)
		snprintf(text, sizeof(text), "only protocol %u", CCR_PROTOCOL_VERSION);
	else
		snprintf(text, sizeof(text), "protocols %u to %u", CCR_PROTOCOL_MIN,
			 CCR_PROTOCOL_VERSION);
	return text;
}
