// SPDX-License-Identifier: MIT
/*
 * LD_PRELOAD library for tests: reading or writing GPU images and page files
 * fails with EIO, as on a broken disk. CCR_FAIL_IO=CALL:N makes the Nth call of
 * CALL on a stripe or page file fail, counted from 1, and all later ones. CALL is pread, pwrite,
 * fsync or close; the latter two report late what a server on a network did not store.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

ssize_t pread64(int fd, void *buffer, size_t length, off64_t offset);
ssize_t pwrite64(int fd, const void *buffer, size_t length, off64_t offset);

/* True for `cuda-<pid>-<stripe>.img`, also under its temporary name, and for page files. */
static bool is_ours(int fd)
{
	char link[32], path[PATH_MAX];
	int pid, stripe;
	const char *name;
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return false;
	path[len] = '\0';
	name = strstr(path, "cuda-");
	while (name && sscanf(name, "cuda-%d-%d.", &pid, &stripe) != 2 &&
	       sscanf(name, "cuda-pages-%d-", &pid) != 1)
		name = strstr(name + 1, "cuda-");
	return name;
}

static bool is_broken(const char *call, int fd)
{
	static atomic_ulong calls;
	const char *rule = getenv("CCR_FAIL_IO");
	const size_t length = strlen(call);

	return rule && !strncmp(rule, call, length) && rule[length] == ':' && is_ours(fd) &&
	       atomic_fetch_add(&calls, 1) + 1 >= strtoul(rule + length + 1, NULL, 10);
}

EXPORTED ssize_t pread(int fd, void *buffer, size_t length, off_t offset)
{
	static ssize_t (*real)(int, void *, size_t, off_t);

	if (is_broken("pread", fd)) {
		errno = EIO;
		return -1;
	}
	if (!real)
		real = (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
	return real(fd, buffer, length, offset);
}

EXPORTED ssize_t pwrite(int fd, const void *buffer, size_t length, off_t offset)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	if (is_broken("pwrite", fd)) {
		errno = EIO;
		return -1;
	}
	if (!real)
		real = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
	return real(fd, buffer, length, offset);
}

EXPORTED int fsync(int fd)
{
	static int (*real)(int);

	if (is_broken("fsync", fd)) {
		errno = EIO;
		return -1;
	}
	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	return real(fd);
}

/* Closes the descriptor even if it reports an error, as the kernel does. */
EXPORTED int close(int fd)
{
	static int (*real)(int);
	const bool fails = is_broken("close", fd);
	int ret;

	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "close");
	ret = real(fd);
	if (!fails)
		return ret;
	errno = EIO;
	return -1;
}

EXPORTED ssize_t pread64(int fd, void *buffer, size_t length, off64_t offset)
{
	return pread(fd, buffer, length, offset);
}

EXPORTED ssize_t pwrite64(int fd, const void *buffer, size_t length, off64_t offset)
{
	return pwrite(fd, buffer, length, offset);
}
