// SPDX-License-Identifier: MIT
/* Whom the daemon serves: the user namespace decides, other namespaces do not. */
#include "pool/peer.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "test/check.h"

static char path[] = "/tmp/ccr-peer-XXXXXX";
static char said[256];

static void keep(enum ccr_log_level level, const char *line)
{
	(void)level;
	snprintf(said, sizeof(said), "%s", line);
}

static int connect_in(int namespaces, const struct sockaddr_un *address)
{
	char byte;
	int fd;

	if (unshare(namespaces))
		return 77;
	/* A new PID namespace begins with the next child. */
	if (namespaces & CLONE_NEWPID && fork())
		return wait(NULL) > 0 ? 0 : 1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return 1;
	return recv(fd, &byte, 1, 0) ? 1 : 0; /* the end of the connection */
}

/* Returns whether a client in new namespaces of these kinds is served, or -1 if there are none. */
static int is_served_in(int namespaces)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	int status, served = -1;
	siginfo_t info;
	pid_t child;

	strcpy(address.sun_path, path);
	unlink(path);
	CHECK(!bind(listener, (struct sockaddr *)&address, sizeof(address)));
	CHECK(!listen(listener, 4));
	said[0] = '\0';
	child = fork();
	if (!child)
		_exit(connect_in(namespaces, &address));
	for (;;) {
		const int fd = accept(listener, NULL, NULL);

		if (fd >= 0) {
			served = peer_is_allowed(fd);
			close(fd);
			break;
		}
		info.si_pid = 0;
		if (!waitid(P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid)
			break;
		sched_yield();
	}
	CHECK(waitpid(child, &status, 0) == child);
	close(listener);
	return served;
}

static void test_namespaces(void)
{
	CHECK(is_served_in(0) == 1);
	CHECK(is_served_in(CLONE_NEWNS) != 0);
	CHECK(is_served_in(CLONE_NEWPID) != 0);
	CHECK(is_served_in(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC) != 0);
	if (is_served_in(CLONE_NEWUSER) < 0) {
		puts("no user namespaces here");
		return;
	}
	CHECK(strstr(said, "another user namespace"));
	CHECK(is_served_in(CLONE_NEWUSER | CLONE_NEWPID) == 0);
	CHECK(strstr(said, "another user namespace"));
}

static void test_silence(void)
{
	int pair[2];

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	said[0] = '\0';
	CHECK(!peer_speaks(pair[0], 20));
	CHECK(strstr(said, "dropped a client"));
	CHECK(write(pair[1], "x", 1) == 1 && peer_speaks(pair[0], 20));
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	int fd = mkstemp(path);

	close(fd);
	ccr_log_set_sink(keep);
	test_namespaces();
	test_silence();
	unlink(path);
	return failures ? 1 : 0;
}
