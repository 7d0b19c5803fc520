// SPDX-License-Identifier: MIT
/* Starts, and then serves request lines from standard input or from clients of a socket. */
#include "workloads/kinds.h"
#include "workloads/workloads.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct workload workload;
static int child_sockets[MAX_CHILDREN];
static char reply[REPLY_MAX];

static bool answer(char *request)
{
	unsigned int child;
	int skip = 0;

	request[strcspn(request, "\r\n")] = '\0';
	if (sscanf(request, "child %u %n", &child, &skip) != 1 || !skip)
		return protocol_answer(&workload, request, reply, sizeof(reply));
	if (child < (unsigned int)workload.options.children)
		children_ask(child_sockets[child], request + skip, reply, sizeof(reply));
	else
		snprintf(reply, sizeof(reply),
			 "error %.60s there is no such child: CUDA_ERROR_INVALID_VALUE", request);
	return true;
}

/* True if the request fills the buffer without a newline; then skips the rest of its line. */
static bool too_long(const char *request, FILE *in)
{
	int c = strchr(request, '\n') || feof(in) ? '\n' : ' ';
	const bool was = c != '\n';

	while (c != '\n' && c != EOF)
		c = getc(in);
	return was;
}

/* Serves a client to its end. False after `quit`. */
static bool serve(FILE *in, FILE *out)
{
	char request[256];

	while (fgets(request, sizeof(request), in)) {
		if (too_long(request, in))
			snprintf(reply, sizeof(reply),
				 "error the request is too long: CUDA_ERROR_INVALID_VALUE");
		else if (!answer(request))
			return false;
		fprintf(out, "%s\n", reply);
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

static void serve_clients(int listener)
{
	for (;;) {
		const int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		bool go_on;
		FILE *in, *out;

		if (client < 0)
			continue;
		in = fdopen(client, "r");
		out = fdopen(dup(client), "w");
		go_on = !in || !out || serve(in, out);
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

int main(int argc, char **argv)
{
	struct failure failure;

	options_parse(&workload.options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	if (workload.options.kinds && kinds_make()) {
		perror("workload-pattern: --kinds");
		return 1;
	}
	if (children_start(&workload, child_sockets)) {
		perror("workload-pattern: children");
		return 1;
	}
	if (workload.options.kinds && kinds_start(0)) {
		perror("workload-pattern: --kinds");
		return 1;
	}
	if (!workload.options.no_cuda_parent &&
	    (workload_start(&workload, &failure) || workload_start_threads(&workload, &failure))) {
		fprintf(stderr, "workload-pattern: %s: %s\n", failure.what,
			ccr_cuda_error_name(failure.result));
		return 1;
	}
	if (workload.options.seccomp && filter_install()) {
		perror("workload-pattern: --seccomp");
		return 1;
	}
	/* Ready means that the whole tree is ready. */
	for (int i = 0; i < workload.options.children; i++) {
		children_ask(child_sockets[i], "status", reply, sizeof(reply));
		if (strncmp(reply, "ok", 2)) {
			fprintf(stderr, "workload-pattern: child %d: %s\n", i, reply);
			return 1;
		}
	}
	if (workload.options.http_port) {
		const int listener = http_listen(workload.options.http_port);

		if (listener < 0) {
			perror("workload-pattern: --http");
			return 1;
		}
		http_serve(&workload, listener);
	}
	if (workload.options.socket_path) {
		const int listener = listen_at(workload.options.socket_path);

		if (listener < 0) {
			perror(workload.options.socket_path);
			return 1;
		}
		serve_clients(listener);
		unlink(workload.options.socket_path);
	} else {
		printf("ready pid=%d\n", getpid());
		fflush(stdout);
		serve(stdin, stdout);
	}
	workload_stop(&workload);
	return 0;
}
