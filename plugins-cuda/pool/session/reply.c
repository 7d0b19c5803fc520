// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "pool/session/session.h"
#include "common/protocol/message.h"

void session_reply(const struct session *session, enum ccr_message_type type, uint32_t operation,
		   int result, const char *text)
{
	struct ccr_message message;

	ccr_message_init(&message, type, operation);
	message.result = result;
	if (text)
		snprintf(message.done.text, sizeof(message.done.text), "%s", text);
	ccr_message_send(session->socket, &message, NULL, 0);
}
