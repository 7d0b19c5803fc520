// SPDX-License-Identifier: MIT
/* --children: a tree of CUDA processes, each of which calls cuInit after its fork. */
#include "workloads/kinds.h"
#include "workloads/workloads.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A packet must fit the socket's buffer. */
static void answer(int socket, const char *reply)
{
	static const char too_long[] =
		"error the answer is too long for a child: CUDA_ERROR_INVALID_VALUE";

	if (send(socket, reply, strlen(reply), MSG_NOSIGNAL) < 0 && errno == EMSGSIZE)
		send(socket, too_long, strlen(too_long), MSG_NOSIGNAL);
}

static void serve_parent(struct workload *w, int socket)
{
	static char reply[REPLY_MAX];
	char request[256];
	struct failure failure;
	ssize_t len;

	/* The answer to the parent's first request is the result of the start. */
	const int started = workload_start(w, &failure) || workload_start_threads(w, &failure);

	while ((len = recv(socket, request, sizeof(request) - 1, 0)) > 0) {
		request[len] = '\0';
		if (started)
			snprintf(reply, sizeof(reply), "error %s %s: %s", request, failure.what,
				 ccr_cuda_error_name(failure.result));
		else if (!protocol_answer(w, request, reply, sizeof(reply)))
			break;
		answer(socket, reply);
	}
	workload_stop(w);
	_exit(0);
}

int children_start(struct workload *w, int *sockets)
{
	for (int i = 0; i < w->options.children; i++) {
		int pair[2];
		pid_t pid;

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			return -1;
		pid = fork();
		if (pid < 0)
			return -1;
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(pair[0]);
			for (int k = 0; k < i; k++)
				close(sockets[k]);
			w->options.seed += i + 1;
			w->options.children = 0;
			w->options.no_cuda_parent = false;
			if (w->options.kinds && kinds_start(i + 1))
				_exit(1);
			serve_parent(w, pair[1]);
		}
		close(pair[1]);
		sockets[i] = pair[0];
	}
	return 0;
}

void children_ask(int socket, const char *request, char *reply, size_t size)
{
	ssize_t len = send(socket, request, strlen(request), MSG_NOSIGNAL);

	if (len > 0)
		len = recv(socket, reply, size - 1, 0);
	if (len <= 0)
		len = snprintf(reply, size,
			       "error %s the child has exited: CUDA_ERROR_DEINITIALIZED", request);
	reply[len] = '\0';
}
