// SPDX-License-Identifier: MIT
#include "workloads/serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct server {
	serve_answer *answer;
	char *reply;
	size_t size;
};

/* True if the request fills the buffer without a newline; then skips the rest of its line. */
static bool too_long(const char *request, FILE *in)
{
	int c = strchr(request, '\n') || feof(in) ? '\n' : ' ';
	const bool was = c != '\n';

	while (c != '\n' && c != EOF)
		c = getc(in);
	return was;
}

static char *cut(char *request)
{
	request[strcspn(request, "\r\n")] = '\0';
	return request;
}

/* Serves a client to its end. False after `quit`. */
static bool serve(const struct server *s, FILE *in, FILE *out)
{
	char request[256];

	while (fgets(request, sizeof(request), in)) {
		if (too_long(request, in))
			snprintf(s->reply, s->size,
				 "error the request is too long: CUDA_ERROR_INVALID_VALUE");
		else if (!s->answer(cut(request), s->reply, s->size))
			return false;
		fprintf(out, "%s\n", s->reply);
		fflush(out);
	}
	return true;
}

/*
 * The socket is bound to its final name, because CRIU binds a restored socket
 * to the same name. A client that connects before listen() is refused and has
 * to try again.
 */
static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	/* A killed process, for example a dumped one, leaves its socket. */
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
		return -1;
	return fd;
}

static void serve_clients(const struct server *s, int listener)
{
	for (;;) {
		const int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		bool go_on;
		FILE *in, *out;

		if (client < 0)
			continue;
		in = fdopen(client, "r");
		out = fdopen(dup(client), "w");
		go_on = !in || !out || serve(s, in, out);
		if (out)
			fclose(out);
		if (in)
			fclose(in);
		else
			close(client);
		if (!go_on)
			return;
	}
}

int serve_requests(const char *socket_path, serve_answer *answer, char *reply, size_t size)
{
	const struct server s = {answer, reply, size};
	int listener;

	if (!socket_path) {
		printf("ready pid=%d\n", getpid());
		fflush(stdout);
		serve(&s, stdin, stdout);
		return 0;
	}
	listener = listen_at(socket_path);
	if (listener < 0)
		return -1;
	serve_clients(&s, listener);
	unlink(socket_path);
	return 0;
}
