// SPDX-License-Identifier: MIT
/* Children, and the test that memory is still shared with them. */
#include "workloads/state/state.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int sockets[STATE_MAX_CHILDREN];
static int nr_children;

/* A child answers "report", and adds 1 to the shared word for "add". */
__attribute__((noreturn)) static void serve(int socket)
{
	static struct report report;
	char request[16];
	ssize_t length;

	while ((length = recv(socket, request, sizeof(request), 0)) > 0) {
		report.used = 0;
		report.text[0] = '\0';
		if (!strncmp(request, "add", length))
			__atomic_add_fetch(regions_shared_word(), 1, __ATOMIC_SEQ_CST);
		else
			state_report(&report);
		if (send(socket, report.text, report.used + 1, MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

int family_start(const struct state_options *o)
{
	for (nr_children = 0; nr_children < o->children; nr_children++) {
		int pair[2];
		pid_t pid;
		char ready;

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			return -1;
		pid = fork();
		if (pid < 0)
			return -1;
		if (!pid) {
			close(pair[0]);
			for (int i = 0; i < nr_children; i++)
				close(sockets[i]);
			const int role = nr_children + 1;

			nr_children = 0;
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (state_start(o, role) || send(pair[1], "", 1, 0) != 1)
				_exit(1);
			serve(pair[1]);
		}
		close(pair[1]);
		sockets[nr_children] = pair[0];
		if (recv(pair[0], &ready, 1, 0) != 1) {
			errno = ECHILD;
			return -1;
		}
	}
	return 0;
}

static const char *test_sharing(int socket)
{
	uint64_t *shared = regions_shared_word();
	const uint64_t value = (uint64_t)random() << 1;
	char answer[8];

	__atomic_store_n(shared, value, __ATOMIC_SEQ_CST);
	if (send(socket, "add", 3, MSG_NOSIGNAL) != 3 ||
	    recv(socket, answer, sizeof(answer), 0) < 1)
		return "gone";
	return __atomic_load_n(shared, __ATOMIC_SEQ_CST) == value + 1 ? "shared" : "private";
}

void family_report(struct report *r)
{
	static char answer[STATE_REPLY_MAX];

	for (int i = 0; i < nr_children; i++) {
		char *save = NULL;

		report_add(r, "child%d=%s ", i + 1, test_sharing(sockets[i]));
		if (send(sockets[i], "report", 6, MSG_NOSIGNAL) != 6 ||
		    recv(sockets[i], answer, sizeof(answer), 0) < 1)
			continue;
		for (char *w = strtok_r(answer, " ", &save); w; w = strtok_r(NULL, " ", &save))
			report_add(r, "child%d.%s ", i + 1, w);
	}
}
