// SPDX-License-Identifier: MIT
/* Forks the ranks, each of which calls cuInit for itself, and passes requests on to them. */
#include "workloads/ranks/ranks.h"
#include "workloads/serve.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ranks_options options;
static struct mesh meshes[MAX_RANKS];
static struct rank own; /* in a child, and with --lead in the parent, which is then rank 0 */
static int controls[MAX_RANKS];
static pid_t pids[MAX_RANKS];

static void become(int number)
{
	for (int i = 0; i < options.ranks; i++)
		if (i != number)
			mesh_close(&meshes[i]);
	own.options = &options;
	own.number = number;
	own.mesh = meshes[number];
	rank_start(&own);
}

__attribute__((noreturn)) static void serve_parent(int socket)
{
	char request[256], reply[RANKS_REPLY_MAX];
	ssize_t length;

	while ((length = recv(socket, request, sizeof(request) - 1, 0)) > 0) {
		request[length] = '\0';
		rank_answer(&own, request, reply, sizeof(reply));
		send(socket, reply, strlen(reply), MSG_NOSIGNAL);
	}
	_exit(0);
}

static int start_child(int number)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -1;
	pids[number] = fork();
	if (pids[number] < 0)
		return -1;
	if (!pids[number]) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		for (int i = 0; i < number; i++)
			if (controls[i] >= 0)
				close(controls[i]);
		become(number);
		serve_parent(pair[1]);
	}
	close(pair[1]);
	controls[number] = pair[0];
	return 0;
}

static void ask(int rank, const char *request, char *reply, size_t size)
{
	ssize_t length;

	if (controls[rank] < 0) {
		rank_answer(&own, request, reply, size);
		return;
	}
	length = send(controls[rank], request, strlen(request), MSG_NOSIGNAL);
	if (length > 0)
		length = recv(controls[rank], reply, size - 1, 0);
	if (length > 0)
		reply[length] = '\0';
	else
		snprintf(reply, size, "error rank %d has ended", rank);
}

/* The answer of all: that of the first, or an error. */
static void ask_all(const char *request, bool must_agree, char *reply, size_t size)
{
	char one[RANKS_REPLY_MAX];

	ask(0, request, reply, size);
	for (int i = 1; i < options.ranks; i++) {
		ask(i, request, one, sizeof(one));
		if (strncmp(reply, "ok", 2))
			continue;
		if (strncmp(one, "ok", 2))
			snprintf(reply, size, "%s", one);
		else if (must_agree && strcmp(one, reply))
			snprintf(reply, size, "error rank %d differs from rank 0: %.300s", i, one);
	}
}

static void add_pids(char *reply, size_t size)
{
	size_t used = strlen(reply);

	for (int i = 0; i < options.ranks && used < size; i++)
		used += snprintf(reply + used, size - used, "%s%d",
				 i ? "," : " pids=", pids[i] ? pids[i] : getpid());
}

static bool answer(const char *request, char *reply, size_t size)
{
	unsigned int rank;

	if (!strcmp(request, "quit"))
		return false;
	if (!strcmp(request, "status")) {
		ask_all(request, false, reply, size);
		if (!strncmp(reply, "ok", 2))
			add_pids(reply, size);
	} else if (!strcmp(request, "start") || !strcmp(request, "sum")) {
		ask_all(request, !strcmp(request, "sum"), reply, size);
	} else if (!strcmp(request, "stop")) {
		ask(0, request, reply, size);
		ask_all("end", true, reply, size);
	} else if (!strncmp(request, "await ", 6)) {
		ask(0, request, reply, size);
	} else if (sscanf(request, "poke %u", &rank) == 1 && rank < (unsigned int)options.ranks) {
		ask((int)rank, "poke", reply, size);
	} else {
		snprintf(reply, size, "error %.60s: unknown request", request);
	}
	return true;
}

int main(int argc, char **argv)
{
	static char reply[RANKS_REPLY_MAX];

	ranks_options_parse(&options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	if (mesh_make(meshes, &options) || share_prepare(&options)) {
		perror("workload-ranks: sockets or memory");
		return 1;
	}
	for (int i = 0; i < options.ranks; i++) {
		controls[i] = -1;
		if (!(options.lead && i == 0) && start_child(i)) {
			perror("workload-ranks: fork");
			return 1;
		}
	}
	for (int i = options.lead; i < options.ranks; i++)
		mesh_close(&meshes[i]);
	if (options.lead)
		become(0);
	ask_all("status", false, reply, sizeof(reply));
	if (strncmp(reply, "ok", 2)) {
		fprintf(stderr, "workload-ranks: %s\n", reply);
		return 1;
	}
	if (serve_requests(options.socket_path, answer, reply, sizeof(reply))) {
		perror(options.socket_path);
		return 1;
	}
	return 0;
}
