// SPDX-License-Identifier: MIT
/* Starts, and then serves requests. */
#include "workloads/kinds.h"
#include "workloads/serve.h"
#include "workloads/workloads.h"

#include <signal.h>
#include <string.h>

static struct workload workload;
static int child_sockets[MAX_CHILDREN];
static char reply[REPLY_MAX];

static bool answer(const char *request, char *text, size_t size)
{
	unsigned int child;
	int skip = 0;

	if (sscanf(request, "child %u %n", &child, &skip) != 1 || !skip)
		return protocol_answer(&workload, request, text, size);
	if (child < (unsigned int)workload.options.children)
		children_ask(child_sockets[child], request + skip, text, size);
	else
		snprintf(text, size, "error %.60s there is no such child: CUDA_ERROR_INVALID_VALUE",
			 request);
	return true;
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
	if (serve_requests(workload.options.socket_path, answer, reply, sizeof(reply))) {
		perror(workload.options.socket_path);
		return 1;
	}
	workload_stop(&workload);
	return 0;
}
