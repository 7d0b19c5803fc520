// SPDX-License-Identifier: MIT
/*
 * Closes the gate of a process that is dumped together with others. The work of one may
 * wait for work that another has not launched yet, so the pool lets single calls through
 * the closed gates until all are quiet at the same time.
 */
#include "intercept/gate/gate.h"
#include "intercept/service/service.h"
#include "intercept/service/sharing.h"
#include "common/protocol/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Returns 0, or -errno: the pool has no answer. */
static int quiesce(struct ccr__connection *connection, bool *is_quiet)
{
	struct ccr_message *m = &connection->message;
	const uint64_t deadline_ns = ccr__now_ns() + m->quiesce.timeout_ms * 1000000ull;
	const char *what = "";
	CUresult result = CUDA_SUCCESS;
	const int ret = ccr__quiesce_begin(m->quiesce.calls, deadline_ns, &result, &what);

	*is_quiet = !ret;
	if (ret && ret != -EBUSY) {
		ccr__connection_fail(connection, ret, result, what);
		return ret;
	}
	ccr_message_init(m, CCR_MSG_QUIET, connection->operation);
	m->result = ret;
	snprintf(m->failed.text, sizeof(m->failed.text), "%s", what);
	return ccr_message_send(connection->socket, m, NULL, 0);
}

static int open_again(struct ccr__connection *connection, bool *is_quiet)
{
	*is_quiet = false;
	ccr__service_open_gate();
	ccr_message_init(&connection->message, CCR_MSG_DONE, connection->operation);
	return ccr_message_send(connection->socket, &connection->message, NULL, 0);
}

static int tell_sharing(struct ccr__connection *connection)
{
	const char *what = "";
	int ret;

	ccr__memory_lock();
	ret = ccr__sharing_send(connection, &what);
	ccr__memory_unlock();
	if (ret)
		ccr__connection_fail(connection, ret, CUDA_SUCCESS, what);
	return ret;
}

void ccr__quiesce_group(struct ccr__connection *connection)
{
	struct ccr_message *m = &connection->message;
	bool is_quiet = false;
	int ret = 0;

	while (!ret) {
		if (m->type == CCR_MSG_QUIESCE) {
			ret = quiesce(connection, &is_quiet);
		} else if (m->type == CCR_MSG_OPEN) {
			ret = open_again(connection, &is_quiet);
		} else if (m->type == CCR_MSG_SHARED && is_quiet) {
			ret = tell_sharing(connection);
		} else if (m->type == CCR_MSG_EVICT) {
			if (!ccr__evict(connection, is_quiet))
				return;
		} else {
			break;
		}
		if (!ret)
			ret = ccr_message_receive(connection->socket, m, NULL, NULL, -1);
	}
	ccr__service_open_gate();
}
