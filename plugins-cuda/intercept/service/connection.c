// SPDX-License-Identifier: MIT
#include "intercept/service/connection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/protocol/message.h"

/* For the pool to notice a failure and hang up. */
#define LINGER_MS 5000

void ccr__connection_fail(struct ccr__connection *connection, int error, CUresult result,
			  const char *what)
{
	int ret;

	ccr_err("operation %u: %s: %s (%s)", connection->operation, what, strerror(-error),
		ccr_cuda_error_name(result));
	ccr_message_init(&connection->message, CCR_MSG_FAILED, connection->operation);
	connection->message.result = error;
	connection->message.failed.cu_result = result;
	snprintf(connection->message.failed.text, sizeof(connection->message.failed.text), "%s",
		 what);
	if (ccr_message_send(connection->socket, &connection->message, NULL, 0))
		return;
	/* The pool may be sending: it reads the reason only once that is done. */
	do
		ret = ccr_message_receive(connection->socket, &connection->message, NULL, NULL,
					  LINGER_MS);
	while (!ret || ret == -EPROTO);
}
