// SPDX-License-Identifier: MIT
#include <errno.h>
#include <unistd.h>

#include "common/protocol/message.h"
#include "pool/session/interceptor.h"
#include "pool/session/group/sharing.h"

static size_t at_most(size_t nr)
{
	return nr < CCR_HANDLES_A_MESSAGE ? nr : CCR_HANDLES_A_MESSAGE;
}

int interceptor_list_shared(int connection, uint32_t operation, uint32_t timeout_ms,
			    sharing_take take, void *argument, char *error, size_t size)
{
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds, ret;
	struct ccr_message message;

	ccr_message_init(&message, CCR_MSG_SHARED, operation);
	ret = ccr_message_send(connection, &message, NULL, 0);
	for (;;) {
		if (!ret)
			ret = ccr_message_receive(connection, &message, fds, &nr_fds,
						  (int)timeout_ms);
		if (ret || (message.type != CCR_MSG_SHARED && message.type != CCR_MSG_END))
			return interceptor_unexpected(&message, ret, error, size);
		if (message.type == CCR_MSG_END)
			return 0;
		for (int i = 0; i < nr_fds; i++) {
			if (ret)
				close(fds[i]);
			else
				ret = take(argument, &message.shared.entry[i], fds[i]);
		}
	}
}

/* Takes one answer for the ids from `*done` on. */
static int take_exported(int connection, const uint64_t *ids, int *fds, size_t nr, size_t *done,
			 char *error, size_t size)
{
	int taken[CCR_HANDLES_A_MESSAGE], nr_taken = 0;
	struct ccr_message message;
	int ret = ccr_message_receive(connection, &message, taken, &nr_taken, -1);
	bool is_right = !ret && message.type == CCR_MSG_HANDLES && nr_taken &&
			(size_t)nr_taken <= nr - *done &&
			message.handles.count == (uint32_t)nr_taken;

	for (int i = 0; is_right && i < nr_taken; i++)
		is_right = message.handles.entry[i].id == ids[*done + i];
	for (int i = 0; i < nr_taken; i++)
		if (is_right)
			fds[(*done)++] = taken[i];
		else
			close(taken[i]);
	return is_right ? 0 : interceptor_unexpected(&message, ret, error, size);
}

int interceptor_export(int connection, uint32_t operation, const uint64_t *ids, int *fds, size_t nr,
		       char *error, size_t size)
{
	size_t done = 0;
	int ret = 0;

	while (!ret && done < nr) {
		const size_t end = done + at_most(nr - done);
		struct ccr_message message;

		ccr_message_init(&message, CCR_MSG_EXPORT, operation);
		while (done + message.exports.count < end) {
			message.exports.id[message.exports.count] =
				ids[done + message.exports.count];
			message.exports.count++;
		}
		ret = ccr_message_send(connection, &message, NULL, 0);
		if (ret)
			ret = interceptor_unexpected(&message, ret, error, size);
		/* The thread may have few free descriptors, and then answers in parts. */
		while (!ret && done < end)
			ret = take_exported(connection, ids, fds, end, &done, error, size);
	}
	while (ret && done)
		close(fds[--done]);
	return ret;
}

int interceptor_place_shared(int connection, uint32_t operation, enum ccr_shared_kind kind,
			     const uint64_t *ids, const int *fds, size_t nr, char *error,
			     size_t size)
{
	struct ccr_message message;
	int ret = 0;

	for (size_t done = 0; !ret && done < nr; done += message.shared.count) {
		ccr_message_init(&message, CCR_MSG_SHARED, operation);
		message.shared.count = at_most(nr - done);
		for (uint32_t i = 0; i < message.shared.count; i++)
			message.shared.entry[i] =
				(struct ccr_wire_shared){.id = ids[done + i], .kind = kind};
		ret = ccr_message_send_waiting(connection, &message, fds + done,
					       message.shared.count, UINT32_MAX);
	}
	if (ret)
		return interceptor_unexpected(&message, ret, error, size);
	return interceptor_finish_place(connection, operation, error, size);
}
