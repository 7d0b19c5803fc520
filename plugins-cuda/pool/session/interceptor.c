// SPDX-License-Identifier: MIT
/*
 * Exchanges messages with an application's service thread;
 * common/protocol/protocol.h has the order.
 */
#include "pool/session/interceptor.h"
#include "pool/session/group/sharing.h"
#include "common/protocol/message.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* For an answer that does not wait for the device: the thread only has to be scheduled. */
#define ANSWER_TIMEOUT_MS 30000

int interceptor_wait_hello(int connection, int pidfd, int timeout_ms, struct ccr_message *hello)
{
	struct pollfd pollers[] = {{.fd = connection, .events = POLLIN},
				   {.fd = pidfd, .events = POLLIN}};
	int ready, ret;

	do
		ready = poll(pollers, 2, timeout_ms);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return ready < 0 ? -errno : -ETIMEDOUT;
	if (!pollers[0].revents)
		return -ESRCH;
	ret = ccr_message_receive(connection, hello, NULL, NULL, 0);
	return ret || hello->type == CCR_MSG_HELLO ? ret : -EPROTO;
}

int interceptor_unexpected(const struct ccr_message *message, int ret, char *error, size_t size)
{
	if (ret) {
		snprintf(error, size, "the application's service thread: %s",
			 ret == -EPIPE ? "connection lost" : strerror(-ret));
		return ret;
	}
	if (message->type != CCR_MSG_FAILED) {
		snprintf(error, size,
			 "the application's service thread sent message %d out of order",
			 message->type);
		return -EPROTO;
	}
	snprintf(error, size, "%.250s (%s)", message->failed.text,
		 ccr_cuda_error_name(message->failed.cu_result));
	return message->result ? message->result : -EIO;
}

static void close_all(const int *fds, int nr)
{
	for (int i = 0; i < nr; i++)
		close(fds[i]);
}

static int take_handles(const struct ccr_message *message, const int *fds, int nr_fds,
			const int *devices, uint32_t nr_devices, struct held_list *list,
			char *error, size_t size)
{
	int ret = 0;

	if (message->handles.count != (uint32_t)nr_fds) {
		close_all(fds, nr_fds);
		snprintf(error, size, "the message has %u allocations, but %d descriptors",
			 message->handles.count, nr_fds);
		return -EPROTO;
	}
	for (uint32_t i = 0; i < message->handles.count; i++) {
		const struct ccr_wire_handle *wire = &message->handles.entry[i];
		struct held held = {.id = wire->id,
				    .size = wire->size,
				    .address = wire->address,
				    .requested = wire->requested,
				    .memory_size = wire->memory_size,
				    .flags = wire->flags,
				    .fd = fds[wire->fd]};

		/* Each must be the whole memory behind its own descriptor. */
		if (!ret && (wire->device >= nr_devices || wire->size != wire->memory_size))
			ret = -EPROTO;
		if (!ret) {
			held.device = devices[wire->device];
			ret = pool_device_use(held.device);
		}
		if (!ret)
			ret = held_import(&held);
		if (!ret) {
			ret = held_add(list, &held);
			if (!ret)
				continue;
			held_release(&held);
		}
		close(fds[i]);
	}
	if (ret)
		snprintf(error, size, "cannot import an allocation: %s", strerror(-ret));
	return ret;
}

static int find_devices(const struct ccr_message *message, int *devices, char *error, size_t size)
{
	for (uint32_t i = 0; i < message->devices.count; i++) {
		devices[i] = pool_device_find(message->devices.uuid[i]);
		if (devices[i] < 0) {
			snprintf(error, size,
				 "device %u of the application is not visible to cuda-poold", i);
			return devices[i];
		}
	}
	return 0;
}

int interceptor_begin_evict(int connection, uint32_t operation, uint32_t timeout_ms)
{
	struct ccr_message message;

	ccr_message_init(&message, CCR_MSG_EVICT, operation);
	message.evict.timeout_ms = timeout_ms;
	return ccr_message_send(connection, &message, NULL, 0);
}

/* Sends the message to the watcher too: if we die, another pool uses the copy. */
static int send_backup(int fd_backup, const struct ccr_message *message, const int *fds, int nr_fds,
		       char *error, size_t size)
{
	const int ret = fd_backup < 0 ? 0
				      : ccr_message_send_waiting(fd_backup, message, fds, nr_fds,
								 ANSWER_TIMEOUT_MS);

	if (ret)
		snprintf(error, size, "the watcher does not accept the descriptors: %s",
			 strerror(-ret));
	return ret;
}

int interceptor_collect(int connection, uint32_t operation, uint32_t timeout_ms, int fd_backup,
			struct held_list *list, struct op_process *reclaimed, char *error,
			size_t size)
{
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds, devices[CCR_MAX_DEVICES];
	struct ccr_message message;
	uint32_t nr_devices = 0;
	int ret;

	for (;;) {
		ret = ccr_message_receive(connection, &message, fds, &nr_fds,
					  timeout_ms + ANSWER_TIMEOUT_MS);
		if (!ret && reclaimed && message.type == CCR_MSG_SHARED) {
			ret = sharing_take_backup(reclaimed, &message, fds);
			if (ret)
				return ret;
			continue;
		}
		if (ret || (message.type != CCR_MSG_DEVICES && message.type != CCR_MSG_HANDLES &&
			    message.type != CCR_MSG_END))
			return interceptor_unexpected(&message, ret, error, size);
		message.operation = operation;
		ret = send_backup(fd_backup, &message, fds, nr_fds, error, size);
		if (message.type == CCR_MSG_END)
			return ret;
		if (ret) {
			close_all(fds, nr_fds);
		} else if (message.type == CCR_MSG_HANDLES) {
			ret = take_handles(&message, fds, nr_fds, devices, nr_devices, list, error,
					   size);
		} else {
			nr_devices = message.devices.count;
			ret = find_devices(&message, devices, error, size);
		}
		if (ret)
			return ret;
	}
}

int interceptor_hold(int connection, uint32_t operation)
{
	struct ccr_message message;

	ccr_message_init(&message, CCR_MSG_HELD, operation);
	return ccr_message_send(connection, &message, NULL, 0);
}

int interceptor_finish_evict(int connection, uint32_t timeout_ms, bool *is_kept, char *error,
			     size_t size)
{
	struct ccr_message message;
	const int ret = ccr_message_receive(connection, &message, NULL, NULL,
					    timeout_ms + ANSWER_TIMEOUT_MS);

	*is_kept = !ret && message.type == CCR_MSG_FAILED;
	return !ret && message.type == CCR_MSG_DONE
		       ? 0
		       : interceptor_unexpected(&message, ret, error, size);
}

/* No time limit: the application may stay stopped. If it exits, the connection closes. */
static int exchange(int connection, uint32_t operation, enum ccr_message_type type,
		    enum ccr_message_type answer, char *error, size_t size)
{
	struct ccr_message message;
	int ret;

	ccr_message_init(&message, type, operation);
	ret = ccr_message_send(connection, &message, NULL, 0);
	if (!ret)
		ret = ccr_message_receive(connection, &message, NULL, NULL, -1);
	return !ret && message.type == answer ? 0
					      : interceptor_unexpected(&message, ret, error, size);
}

int interceptor_finish_attach(int connection, uint32_t operation, char *error, size_t size)
{
	return exchange(connection, operation, CCR_MSG_END, CCR_MSG_DONE, error, size);
}

int interceptor_finish_place(int connection, uint32_t operation, char *error, size_t size)
{
	return exchange(connection, operation, CCR_MSG_END, CCR_MSG_PLACED, error, size);
}

int interceptor_open(int connection, uint32_t operation, char *error, size_t size)
{
	return exchange(connection, operation, CCR_MSG_OPEN, CCR_MSG_DONE, error, size);
}

void interceptor_abort(int connection, uint32_t operation, int result, const char *text)
{
	struct ccr_message message;

	ccr_message_init(&message, CCR_MSG_ABORT, operation);
	message.result = result;
	snprintf(message.failed.text, sizeof(message.failed.text), "%s", text);
	ccr_message_send(connection, &message, NULL, 0);
}

int interceptor_keep_quiet(int connection, uint32_t operation, uint32_t timeout_ms, int result,
			   const char *text)
{
	struct ccr_message message;
	int ret;

	interceptor_abort(connection, operation, result, text);
	do /* what it still sends has descriptors, which are closed */
		ret = ccr_message_receive(connection, &message, NULL, NULL,
					  timeout_ms + ANSWER_TIMEOUT_MS);
	while (ret == -EPROTO || (!ret && message.type != CCR_MSG_QUIET));
	return ret;
}

int interceptor_begin_attach(int connection, uint32_t operation, uint32_t mode)
{
	struct ccr_message message;

	ccr_message_init(&message, CCR_MSG_ATTACH, operation);
	message.attach.mode = mode;
	return ccr_message_send(connection, &message, NULL, 0);
}

/* Entries that share memory share one descriptor in a message. */
static void add_entry(struct ccr_message *message, const struct held *held, int *fds,
		      uint32_t *nr_fds)
{
	if (!*nr_fds || fds[*nr_fds - 1] != held->fd)
		fds[(*nr_fds)++] = held->fd;
	message->handles.entry[message->handles.count++] =
		(struct ccr_wire_handle){.id = held->id,
					 .size = held->size,
					 .address = held->address,
					 .requested = held->requested,
					 .offset = held->offset,
					 .memory_size = held->memory_size,
					 .device = held->device,
					 .flags = held->flags,
					 .fd = *nr_fds - 1};
}

int interceptor_send_held(int connection, uint32_t operation, const struct held *entries, size_t nr)
{
	int fds[CCR_HANDLES_A_MESSAGE], ret = 0;
	struct ccr_message message;

	for (size_t done = 0; !ret && done < nr; done += message.handles.count) {
		uint32_t nr_fds = 0;

		ccr_message_init(&message, CCR_MSG_HANDLES, operation);
		while (message.handles.count < CCR_HANDLES_A_MESSAGE &&
		       done + message.handles.count < nr)
			add_entry(&message, &entries[done + message.handles.count], fds, &nr_fds);
		ret = ccr_message_send_waiting(connection, &message, fds, nr_fds, UINT32_MAX);
	}
	return ret;
}
