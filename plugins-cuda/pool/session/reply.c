// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "pool/session/session.h"
#include "common/protocol/message.h"
#include "common/status.h"

void session_note_attach(struct session *session, pid_t pid, int result, double ms, double load_ms,
			 const char *reason)
{
	char quoted[768];

	ccr_status_add(&session->status,
		       "{\"event\":\"attach\",\"pid\":%d,\"result\":%d,\"ms\":%.3f,\"load_ms\":%."
		       "3f,\"reason\":\"%s\"}",
		       pid, result, ms, load_ms, ccr_status_quoted(quoted, sizeof(quoted), reason));
}

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
