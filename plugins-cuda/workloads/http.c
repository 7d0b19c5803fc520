// SPDX-License-Identifier: MIT
/*
 * The API of an inference server: /health, /v1/models and /v1/completions. The
 * "tokens" are the digits of the checksum of all device memory, so a restored
 * server that gives the same answer has the same memory. Requests are served
 * one at a time and each connection is closed after its answer, so none is open
 * when CRIU dumps the process.
 */
#include "workloads/workloads.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOKENS	     4
#define TOKEN_DIGITS 4

struct request {
	char method[8], path[64];
	size_t body_bytes;
	bool streams; /* the client asked for a stream */
};

/* Reads head and body. False if the client sent no request. */
static bool read_request(FILE *in, struct request *request)
{
	char line[512], body[4096];
	size_t got = 0;

	memset(request, 0, sizeof(*request));
	if (!fgets(line, sizeof(line), in) ||
	    sscanf(line, "%7s %63s", request->method, request->path) != 2)
		return false;
	while (fgets(line, sizeof(line), in) && strcmp(line, "\r\n"))
		if (!strncasecmp(line, "content-length:", 15))
			request->body_bytes = strtoul(line + 15, NULL, 10);
	if (request->body_bytes >= sizeof(body))
		return false;
	got = fread(body, 1, request->body_bytes, in);
	body[got] = '\0';
	request->streams = strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true");
	return got == request->body_bytes;
}

static void head(FILE *out, const char *status, const char *type)
{
	fprintf(out, "HTTP/1.1 %s\r\nContent-Type: %s\r\nConnection: close\r\n\r\n", status, type);
}

static void token(FILE *out, const char *text, int length, bool is_last)
{
	fprintf(out,
		"{\"object\":\"text_completion\",\"model\":\"pattern\",\"choices\":[{\"index\":0,"
		"\"text\":\"%.*s\",\"finish_reason\":%s}]}",
		length, text, is_last ? "\"stop\"" : "null");
}

static void complete(struct workload *w, FILE *out, bool streams)
{
	struct failure failure;
	char digits[TOKENS * TOKEN_DIGITS + 1];
	uint64_t checksum;

	if (workload_verify(w, &w->set, &checksum, &failure)) {
		head(out, "500 Internal Server Error", "application/json");
		fprintf(out, "{\"error\":\"%s: %s\"}\n", failure.what,
			failure.result ? ccr_cuda_error_name(failure.result) : "wrong data");
		return;
	}
	snprintf(digits, sizeof(digits), "%016" PRIx64, checksum);
	head(out, "200 OK", streams ? "text/event-stream" : "application/json");
	if (!streams) {
		token(out, digits, sizeof(digits) - 1, true);
		return;
	}
	for (int i = 0; i < TOKENS; i++) {
		fputs("data: ", out);
		token(out, digits + i * TOKEN_DIGITS, TOKEN_DIGITS, i == TOKENS - 1);
		fputs("\n\n", out);
		fflush(out);
	}
	fputs("data: [DONE]\n\n", out);
}

static void answer(struct workload *w, FILE *in, FILE *out)
{
	struct request request;

	if (!read_request(in, &request)) {
		head(out, "400 Bad Request", "text/plain");
		return;
	}
	if (!strcmp(request.method, "POST") && !strcmp(request.path, "/v1/completions")) {
		complete(w, out, request.streams);
	} else if (!strcmp(request.method, "GET") && !strcmp(request.path, "/health")) {
		head(out, "200 OK", "text/plain");
	} else if (!strcmp(request.method, "GET") && !strcmp(request.path, "/v1/models")) {
		head(out, "200 OK", "application/json");
		fputs("{\"object\":\"list\",\"data\":[{\"id\":\"pattern\",\"object\":\"model\"}]}",
		      out);
	} else {
		head(out, "404 Not Found", "text/plain");
	}
}

int http_listen(int port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int yes = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
		return -1;
	return fd;
}

void http_serve(struct workload *w, int listener)
{
	for (;;) {
		const int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		FILE *in = client < 0 ? NULL : fdopen(client, "r");
		FILE *out = client < 0 ? NULL : fdopen(dup(client), "w");

		if (in && out)
			answer(w, in, out);
		if (out)
			fclose(out);
		if (in)
			fclose(in);
		else if (client >= 0)
			close(client);
	}
}
