// SPDX-License-Identifier: GPL-2.0-only
/* What a run removes from the run directory: files of processes that have ended, and no others. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/status.h"
#include "test/check.h"

/* No process has this pid. */
#define FOREIGN_PID ((1u << 22) - 1)

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

/*
 * Of the processes that have a status file open (criu, its watcher, the pool)
 * the last one prunes.
 */
static void test_prune(void)
{
	struct ccr_status status, other;
	char old_name[64];
	struct stat namespace;
	int watchers;

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
}

int main(void)
{
	char command[64];

	CHECK(mkdtemp(dir));
	test_prune();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	CHECK(!system(command));
	return failures ? 1 : 0;
}
