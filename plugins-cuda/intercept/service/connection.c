// SPDX-License-Identifier: MIT
#include "intercept/service/connection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/protocol/message.h"

/* How long the pool may take to notice a failure and close the connection. */
#define LINGER_MS 5000

int ccr__connection_say_failed(struct ccr__connection *connection, int error, CUresult result,
			       const char *what)
{
	ccr_err("operation %u failed: %s: %s (%s)", connection->operation, what, strerror(-error),
		ccr_cuda_error_name(result));
	ccr_message_init(&connection->message, CCR_MSG_FAILED, connection->operation);
	connection->message.result = error;
	connection->message.failed.cu_result = result;
	snprintf(connection->message.failed.text, sizeof(connection->message.failed.text), "%s",
		 what);
	return ccr_message_send(connection->socket, &connection->message, NULL, 0);
}

void ccr__connection_fail(struct ccr__connection *connection, int error, CUresult result,
			  const char *what)
{
	int ret;

	if (ccr__connection_say_failed(connection, error, result, what))
		return;
	/* The pool may still be sending, and reads the reason only when it is done. */
	do
		ret = ccr_message_receive(connection->socket, &connection->message, NULL, NULL,
					  LINGER_MS);
	while (!ret || ret == -EPROTO);
}
