// SPDX-License-Identifier: MIT
/* What the system's log gets: one datagram with the priority of an error. Nothing waits for it. */
#include "common/syslog.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "test/check.h"

static void test_line(int log)
{
	char line[2048] = "", expected[128];

	ccr_syslog("restore of process %d failed: %s", 7, "the file is damaged");
	CHECK(recv(log, line, sizeof(line) - 1, MSG_DONTWAIT) > 0);
	snprintf(expected, sizeof(expected),
		 "<27>criu-cuda[%d]: restore of process 7 failed: the file is damaged", getpid());
	CHECK(!strcmp(line, expected));
}

/* Nobody reads: the queue is full after some lines, and the others are lost. */
static void test_full(void)
{
	for (int i = 0; i < 10000; i++)
		ccr_syslog("%01000d", i);
}

static int count_fds(void)
{
	int nr = 0;

	for (int fd = 0; fd < 100; fd++)
		nr += dup2(fd, fd) == fd;
	return nr;
}

int main(void)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	const int log = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int before;

	/* A log of our own. */
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/dev", "tmpfs", 0, "size=64k"))
		return 77; /* only root can mount */
	before = count_fds();
	ccr_syslog("nobody is there");
	CHECK(!bind(log, (const struct sockaddr *)&address, sizeof(address)));
	test_line(log);
	test_full();
	CHECK(count_fds() == before);
	return failures ? 1 : 0;
}
