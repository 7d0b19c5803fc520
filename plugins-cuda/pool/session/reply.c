// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "pool/session/session.h"
#include "common/protocol/message.h"
#include "common/status.h"

/* Who copies, and with what; the numbers of the request are there if they were more. */
static void print_copy(char *out, size_t size, const struct moved *moved)
{
	const uint32_t streams = moved->options ? atomic_load(&moved->copied->streams) : 0;
	const uint32_t chunk_mb = moved->options ? atomic_load(&moved->copied->chunk_mb) : 0;
	int len = snprintf(out, size, "\"by\":\"%s\",\"bytes\":%llu",
			   pool.is_daemon ? "daemon" : "helper", (unsigned long long)moved->bytes);

	if (!streams)
		return;
	len += snprintf(out + len, size - len, ",\"streams\":%u,\"chunk_mb\":%u", streams,
			chunk_mb);
	if (moved->options->streams > streams)
		len += snprintf(out + len, size - len, ",\"asked_streams\":%u",
				moved->options->streams);
	if (moved->options->chunk_mb > chunk_mb)
		snprintf(out + len, size - len, ",\"asked_chunk_mb\":%u", moved->options->chunk_mb);
}

void session_note_evict(const struct session *session, const struct moved *moved)
{
	char copy[256];

	print_copy(copy, sizeof(copy), moved);
	ccr_status_add(&session->status,
		       "{\"event\":\"evict\",\"pid\":%d,\"result\":%d,\"allocations\":%zu,%s,"
		       "\"wait_ms\":%.3f,\"copy_ms\":%.3f}",
		       moved->pid, moved->result, moved->allocations, copy, moved->wait_ms,
		       moved->copy_ms);
}

void session_note_attach(const struct session *session, const struct moved *moved)
{
	char quoted[768], copy[256];

	print_copy(copy, sizeof(copy), moved);
	ccr_status_add(&session->status,
		       "{\"event\":\"attach\",\"pid\":%d,\"result\":%d,%s,\"source\":\"%s\","
		       "\"ms\":%.3f,\"load_ms\":%.3f,\"reason\":\"%s\"}",
		       moved->pid, moved->result, copy, moved->source, moved->wait_ms,
		       moved->copy_ms, ccr_status_quoted(quoted, sizeof(quoted), moved->reason));
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
