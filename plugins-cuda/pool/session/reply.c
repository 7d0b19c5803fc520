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
	int len = snprintf(out, size, "\"by\":\"%s\",\"bytes\":%llu%s",
			   pool.is_daemon ? "daemon" : "helper", (unsigned long long)moved->bytes,
			   moved->is_storage ? ",\"storage\":true" : "");

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

/* What the device found to be zero, and why not all of it; empty without a scan. */
static void print_scan(char *out, size_t size, const struct copy_progress *copied)
{
	char quoted[2 * sizeof(copied->scan_error)];
	int len = 0;

	*out = '\0';
	if (copied->scan_ms)
		len = snprintf(out, size, "\"scan_zero_bytes\":%llu,\"scan_ms\":%.3f,",
			       (unsigned long long)copied->scan_zero_bytes, copied->scan_ms);
	if (*copied->scan_error)
		snprintf(out + len, size - len, "\"scan_error\":\"%s\",",
			 ccr_status_quoted(quoted, sizeof(quoted), copied->scan_error));
}

/* What an earlier image has, and why not more; empty without one. */
static void print_reuse(char *out, size_t size, const struct copy_progress *copied)
{
	char quoted[2 * sizeof(copied->reuse_error)];
	int len;

	*out = '\0';
	if (!copied->has_earlier)
		return;
	len = snprintf(out, size, "\"reused_bytes\":%llu,",
		       (unsigned long long)copied->reused_bytes);
	if (*copied->reuse_error)
		snprintf(out + len, size - len, "\"reuse_error\":\"%s\",",
			 ccr_status_quoted(quoted, sizeof(quoted), copied->reuse_error));
}

void session_note_evict(const struct session *session, const struct moved *moved)
{
	char copy[256], scan[512], reuse[512];

	print_copy(copy, sizeof(copy), moved);
	print_scan(scan, sizeof(scan), moved->copied);
	print_reuse(reuse, sizeof(reuse), moved->copied);
	ccr_status_add(&session->status,
		       "{\"event\":\"evict\",\"pid\":%d,\"result\":%d,\"allocations\":%zu,%s,%s%s"
		       "\"wait_ms\":%.3f,\"copy_ms\":%.3f}",
		       moved->pid, moved->result, moved->allocations, copy, scan, reuse,
		       moved->wait_ms, moved->copy_ms);
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

/* The milliseconds of each slice that the thread has used. */
static void print_slices(char *out, size_t size, const struct cuda_parallel_thread *thread,
			 const float *slices)
{
	size_t len = 0;

	*out = '\0';
	for (uint32_t i = 0; i < CUDA_PARALLEL_SLICES && len + 16 < size &&
			     thread->start + i * thread->slice_ms < thread->end;
	     i++)
		len += snprintf(out + len, size - len, "%s%.1f", i ? "," : "", slices[i]);
}

static void note_thread(const struct session *session, pid_t pid, uint32_t number,
			const struct cuda_parallel_thread *thread)
{
	char host[CUDA_PARALLEL_SLICES * 12], device[sizeof(host)];

	print_slices(host, sizeof(host), thread, thread->host_ms);
	print_slices(device, sizeof(device), thread, thread->device_ms);
	ccr_status_add(&session->status,
		       "{\"event\":\"thread\",\"pid\":%d,\"number\":%u,\"start\":%.3f,\"ms\":%.3f,"
		       "\"slice_ms\":%.0f,\"host_ms\":[%s],\"device_ms\":[%s]}",
		       pid, number, thread->start, thread->end - thread->start, thread->slice_ms,
		       host, device);
}

void session_note_copy(const struct session *session, pid_t pid, const struct copy_progress *copied)
{
	const struct {
		const char *name;
		double end;
	} steps[] = {{"start of the device", copied->device_ready},
		     {"context", copied->context_ready},
		     {"staging buffers", copied->engine_ready},
		     {"allocation", copied->allocated},
		     {"copy", copied->ended}};
	double start = copied->started;

	for (size_t i = 0; start && i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (!steps[i].end)
			continue;
		ccr_status_span(&session->status, pid, "pool", steps[i].name, start, steps[i].end);
		start = steps[i].end;
	}
	for (uint32_t i = 0; i < CUDA_PARALLEL_MAX_THREADS; i++)
		if (copied->threads[i].slice_ms)
			note_thread(session, pid, i, &copied->threads[i]);
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
