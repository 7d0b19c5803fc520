// SPDX-License-Identifier: GPL-2.0-only
/* What a run moves out of the run directory: files of processes that have ended, and no others. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
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
 * the last one decides when it may be moved.
 */
static void test_prune(void)
{
	struct ccr_status status, other;
	char old_name[64];
	struct stat namespace, moved_stat;
	char moved[96];
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
	snprintf(moved, sizeof(moved), "history/op-%u-%lu-1.jsonl", FOREIGN_PID,
		 (unsigned long)namespace.st_ino);
	CHECK(!stat(path_of(moved), &moved_stat));
	/* The space that was reserved for it is free again, and its date is that of its end. */
	CHECK(!moved_stat.st_blocks && moved_stat.st_mtim.tv_sec == 1);
	CHECK(is_there("op-1-2.jsonl"));
}

/* An engine reads nothing: what many runs leave is moved, and the oldest of all is removed. */
static void test_many(void)
{
	struct ccr_status status;
	char name[64];

	for (int i = 1; i <= 100; i++) {
		const struct timespec times[2] = {{.tv_sec = i}, {.tv_sec = i}};

		snprintf(name, sizeof(name), "op-%d-7.jsonl", 1000 + i);
		make_file(name);
		CHECK(!utimensat(AT_FDCWD, path_of(name), times, 0));
	}
	CHECK(!ccr_status_open(&status, dir, getpid()));
	ccr_status_close(&status);
	CHECK(!is_there("op-1001-7.jsonl") && !is_there("op-1100-7.jsonl"));
	CHECK(!is_there("history/op-1036-7-36.jsonl"));
	CHECK(is_there("history/op-1037-7-37.jsonl") && is_there("history/op-1100-7-100.jsonl"));
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* The file is only open for writing. */
static bool read_last_line(int fd, char *line, size_t size)
{
	char path[32];
	bool is_any = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	file = fopen(path, "re");
	while (file && fgets(line, size, file))
		is_any = line[strlen(line) - 1] == '\n';
	if (file)
		fclose(file);
	return is_any;
}

/* On a full file system: the outcome of a run could not be written, so there must be no run. */
static void test_full(void)
{
	struct ccr_status status;
	char filler[96], line[128];
	long number = -1;
	double at = -1;
	int fd;

	if (mount("none", dir, "tmpfs", 0, "size=32k,mode=0700")) {
		fprintf(stderr, "not tested: cannot mount a tmpfs\n");
		return;
	}
	CHECK(ccr_status_open(&status, dir, getpid()) == -ENOSPC && status.fd == -1);
	CHECK(ccr_status_probe(dir) == -ENOSPC);
	CHECK(!mount("none", dir, "tmpfs", MS_REMOUNT, "size=256k,mode=0700"));
	CHECK(!ccr_status_open(&status, dir, getpid()));
	/* Fill the rest: the lines that follow have their place. */
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	while (write(fd, filler, sizeof(filler)) > 0)
		;
	close(fd);
	for (int i = 0; i < 300; i++)
		ccr_status_add(&status, "{\"line\":%090d}", i);
	CHECK(read_last_line(status.fd, line, sizeof(line)));
	CHECK(sscanf(line, "{\"line\":%ld,\"at\":%lf}", &number, &at) == 2 && number == 299);
	CHECK(at > 0 && at <= now_ms());
	ccr_status_close(&status);
	CHECK(!umount(dir));
}

int main(void)
{
	char command[64];

	CHECK(mkdtemp(dir));
	test_prune();
	test_many();
	test_full();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	CHECK(!system(command));
	return failures ? 1 : 0;
}
