// SPDX-License-Identifier: GPL-2.0-only
/* What a run removes from the run directory: files of processes that have ended, and no others. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/protocol/protocol.h"
#include "common/protocol/unix_socket.h"
#include "common/status.h"
#include "plugin/device/stale_sockets.h"
#include "plugin/device/pool_link.h"
#include "test/check.h"

/* No process has this pid, like the pid of a pool in another PID namespace. */
#define FOREIGN_PID ((1u << 22) - 1)
#define OPERATION   (FOREIGN_PID << CCR_OP_PID_SHIFT)

static char dir[] = "/tmp/ccr-run-dir-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static bool is_there(const char *name)
{
	return !access(path_of(name), F_OK);
}

static int listen_at(uint32_t operation)
{
	char path[128];
	int fd;

	CHECK(!ccr_op_socket_path(path, sizeof(path), dir, operation));
	fd = ccr_socket_listen(path, SOCK_SEQPACKET);
	CHECK(fd >= 0);
	return fd;
}

static void make_file(const char *name)
{
	const int fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	close(fd);
}

static void make_old(const char *name)
{
	const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	CHECK(!utimensat(AT_FDCWD, path_of(name), times, 0));
}

static void test_sweep(void)
{
	const int living = listen_at(OPERATION), dead = listen_at(OPERATION + 1);
	char live_name[32], dead_name[32], other_name[48];

	snprintf(live_name, sizeof(live_name), CCR_OP_SOCKET_FORMAT, OPERATION);
	snprintf(dead_name, sizeof(dead_name), CCR_OP_SOCKET_FORMAT, OPERATION + 1);
	snprintf(other_name, sizeof(other_name), CCR_OP_SOCKET_FORMAT ".other", OPERATION + 1);
	make_file(other_name);
	close(dead);
	ccr__remove_stale_sockets(dir);
	CHECK(is_there(live_name));
	CHECK(!is_there(dead_name));
	CHECK(is_there(other_name));
	/* The pool must not notice, so no connection may be waiting for it. */
	CHECK(!fcntl(living, F_SETFL, O_NONBLOCK) && accept(living, NULL, NULL) < 0);
	make_old(live_name);
	close(living);
}

/*
 * Of the processes that have a status file open (criu, its watcher, the pool)
 * the last one prunes.
 */
static void test_prune(void)
{
	struct ccr_status status, other;
	char live_name[32], old_name[64];
	struct stat namespace;
	int watchers;

	snprintf(live_name, sizeof(live_name), CCR_OP_SOCKET_FORMAT, OPERATION);
	CHECK(!stat("/proc/self/ns/pid", &namespace));
	snprintf(old_name, sizeof(old_name), "op-%u-%lu.jsonl", FOREIGN_PID,
		 (unsigned long)namespace.st_ino);
	CHECK(!ccr_status_open(&status, dir, FOREIGN_PID));
	watchers = dup(status.fd);
	ccr_status_close(&status);
	make_old(old_name);
	CHECK(!ccr_status_open(&other, dir, getpid()));
	ccr_status_close(&other);
	CHECK(is_there(old_name));
	close(watchers);
	make_file("op-1-2.jsonl");
	CHECK(!ccr_status_open(&other, dir, getpid()));
	ccr_status_close(&other);
	CHECK(!is_there(old_name));
	CHECK(is_there("op-1-2.jsonl"));
	CHECK(is_there(live_name));
}

int main(void)
{
	char command[64];

	CHECK(mkdtemp(dir));
	test_sweep();
	test_prune();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	CHECK(!system(command));
	return failures ? 1 : 0;
}
