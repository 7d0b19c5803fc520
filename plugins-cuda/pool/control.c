// SPDX-License-Identifier: MIT
/*
 * The control socket: the client sends one line, and gets one line of JSON back before it closes.
 *   status                          what is warm, in progress, resident and counted
 *   contexts                        only contexts and operations; asks the driver nothing
 *   prefetch DIR [golden]           replies when every image of DIR is resident
 *   receive DIR [golden]            the same while stripes arrive; answers {"loading":N} first, and
 *                                   then takes lines: the name of a stripe that is in DIR now, and
 *                                   an empty one when all are; a client that hangs up ends it
 *   drop DIR|* [force]              `force`: including golden images
 *   golden DIR on|off
 * DIR is an absolute path; characters other than letters, digits and "-_./~" are percent-encoded.
 * Failures: {"error":{"errno":N,"message":TEXT}}.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/protocol/device_map.h"
#include "common/status.h"
#include "pool/control.h"
#include "pool/receive.h"
#include "pool/peer.h"
#include "pool/device/device.h"
#include "pool/images/prefetch.h"
#include "pool/images/residents.h"
#include "pool/session/operations.h"

#define MAX_LINE  (3 * PATH_MAX + 64) /* with every byte of the path encoded */
#define MAX_WORDS 3

/* Reads a line, without its newline. False when it is not complete in time. */
static bool read_line(int socket, char *line, size_t size)
{
	const double end_ms = now_ms() + PEER_TIMEOUT_MS;
	struct pollfd poller = {.fd = socket, .events = POLLIN};
	size_t length = 0;

	while (length < size) {
		const double left_ms = end_ms - now_ms();
		ssize_t got;
		char *end;

		if (left_ms <= 0 || poll(&poller, 1, 1 + (int)left_ms) <= 0) {
			ccr_warn("dropped a client that sent no complete line in %d ms",
				 PEER_TIMEOUT_MS);
			return false;
		}
		got = recv(socket, line + length, size - length, 0);
		if (got <= 0)
			return false;
		end = memchr(line + length, '\n', got);
		length += got;
		if (!end)
			continue;
		*end = '\0';
		return true;
	}
	return false;
}

void control_send(int socket, const char *text, size_t size)
{
	const struct timeval timeout = {.tv_sec = PEER_TIMEOUT_MS / 1000};
	ssize_t sent;

	setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	for (; size; text += sent, size -= sent) {
		sent = send(socket, text, size, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
	}
}

static int hex(char digit)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = digit ? strchr(digits, digit | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Decodes in place. False for an invalid escape or an encoded NUL. */
static bool decode(char *text)
{
	char *out = text;

	for (; *text; text++) {
		int value = *text;

		if (*text == '%') {
			const int high = hex(text[1]), low = high < 0 ? -1 : hex(text[2]);

			value = low < 0 ? 0 : 16 * high + low;
			text += 2;
			if (!value)
				return false;
		}
		*out++ = value;
	}
	*out = '\0';
	return true;
}

static void print_error(FILE *out, int ret, const char *text)
{
	char quoted[1024];

	fprintf(out, "{\"error\":{\"errno\":%d,\"message\":\"%s\"}}", -ret,
		ccr_status_quoted(quoted, sizeof(quoted), text));
}

static void print_uuid(FILE *out, int device)
{
	char uuid[CCR_UUID_TEXT];

	ccr_uuid_format(uuid, (const uint8_t *)pool.uuids[device].bytes);
	fprintf(out, "\"uuid\":\"%s\"", uuid);
}

static void print_devices(FILE *out)
{
	for (int i = 0; i < pool.nr_devices; i++) {
		size_t free_bytes = 0, total_bytes = 0;
		char name[128] = "";

		pool_device_memory(i, &free_bytes, &total_bytes);
		pool.cuda.cuDeviceGetName(name, sizeof(name), i);
		fprintf(out, "%s{\"name\":\"%s\",", i ? "," : "", name);
		print_uuid(out, i);
		fprintf(out, ",\"total_bytes\":%zu,\"free_bytes\":%zu,\"resident_bytes\":%llu}",
			total_bytes, free_bytes, (unsigned long long)resident_bytes_on(i));
	}
}

/* The pool's primary contexts, the threads that serve all of them, and the operations in progress.
 */
static void print_work(FILE *out)
{
	uint64_t staging_bytes;
	const char *comma = "";
	uint32_t streams;

	engine_size(&streams, &staging_bytes);
	fprintf(out, "\"streams\":%u,\"staging_bytes\":%llu,\"contexts\":[", streams,
		(unsigned long long)staging_bytes);
	for (int i = 0; i < pool.nr_devices; i++) {
		if (!pool_device_is_in_use(i))
			continue;
		fprintf(out, "%s{", comma);
		print_uuid(out, i);
		fprintf(out, ",\"memory_bytes\":%llu}",
			(unsigned long long)atomic_load(&pool.memory_bytes[i]));
		comma = ",";
	}
	fputs("],\"operations\":", out);
	operations_print(out);
}

static void print_contexts(FILE *out)
{
	fprintf(out, "{\"version\":\"%s\",\"pid\":%d,", CCR_VERSION, getpid());
	print_work(out);
	fputc('}', out);
}

static void print_status(FILE *out)
{
	fprintf(out, "{\"version\":\"%s\",\"pid\":%d,\"driver\":%d,\"budget_bytes\":%llu,",
		CCR_VERSION, getpid(), pool.driver.version, (unsigned long long)resident_budget());
	fputs("\"devices\":[", out);
	print_devices(out);
	fputs("],", out);
	print_work(out);
	fputs(",\"images\":", out);
	resident_print(out);
	fputs(",\"counters\":{", out);
#define COUNTER(name, comma) \
	fprintf(out, "\"" #name "\":%llu" comma, (unsigned long long)pool.counters.name)
	COUNTER(dumps, ",");
	COUNTER(restores, ",");
	COUNTER(roll_backs, ",");
	COUNTER(reused, ",");
	COUNTER(loads, ",");
	COUNTER(prefetches, ",");
	COUNTER(holds, ",");
	COUNTER(evictions, ",");
	COUNTER(failures, ",");
	COUNTER(bytes_saved, ",");
	COUNTER(bytes_attached, "");
#undef COUNTER
	fputs("}}", out);
}

static void print_count(FILE *out, const char *what, int nr)
{
	fprintf(out, "{\"%s\":%d}", what, nr);
}

static void prefetch(FILE *out, const char *dir, bool is_golden)
{
	char error[512];
	const int ret = prefetch_images(dir, is_golden, error, sizeof(error));

	if (ret)
		print_error(out, ret, error);
	else
		print_count(out, "resident", resident_count(dir));
}

static void receive(FILE *out, int socket, const char *dir, bool is_golden)
{
	char error[512];
	size_t nr;
	const int ret = receive_images(socket, dir, is_golden, &nr, error, sizeof(error));

	if (ret)
		print_error(out, ret, error);
	else
		print_count(out, "resident", nr);
}

static bool is_word(const char *word, const char *wanted)
{
	return word && !strcmp(word, wanted);
}

static void answer(FILE *out, int socket, char **words)
{
	const char *verb = words[0], *dir = words[1], *option = words[2];
	char real[PATH_MAX];

	/* The list has resolved paths. A directory that is gone is looked up as given. */
	if (dir && realpath(dir, real))
		dir = real;
	if (is_word(verb, "status") && !dir)
		print_status(out);
	else if (is_word(verb, "contexts") && !dir)
		print_contexts(out);
	else if (is_word(verb, "prefetch") && dir && (!option || is_word(option, "golden")))
		prefetch(out, dir, option);
	else if (is_word(verb, "receive") && dir && (!option || is_word(option, "golden")))
		receive(out, socket, dir, option);
	else if (is_word(verb, "drop") && dir && (!option || is_word(option, "force")))
		print_count(out, "dropped", resident_drop(is_word(dir, "*") ? NULL : dir, option));
	else if (is_word(verb, "golden") && dir &&
		 (is_word(option, "on") || is_word(option, "off")))
		print_count(out, "marked", resident_mark(dir, is_word(option, "on")));
	else
		print_error(out, -EINVAL,
			    "accepted: status | contexts | prefetch|receive DIR [golden] | "
			    "drop DIR|* [force] | golden DIR on|off");
}

/* Splits and decodes the line. words[0] is NULL if a word is invalid or there are too many. */
static void split(char *line, char *words[MAX_WORDS])
{
	char *rest = NULL;
	int nr = 0;

	memset(words, 0, MAX_WORDS * sizeof(*words));
	for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		if (nr < MAX_WORDS && decode(word)) {
			words[nr++] = word;
			continue;
		}
		words[0] = NULL;
		return;
	}
}

void control_run(int socket)
{
	char line[MAX_LINE], *words[MAX_WORDS], *text = NULL;
	size_t size = 0;
	FILE *out;

	out = read_line(socket, line, sizeof(line)) ? open_memstream(&text, &size) : NULL;
	if (out) {
		split(line, words);
		answer(out, socket, words);
		fputc('\n', out);
		if (!fclose(out))
			control_send(socket, text, size);
		free(text);
	}
	close(socket);
}
