// SPDX-License-Identifier: MIT
/*
 * The file that tells a program how often it was restored: `NUMBER ID`, filled with spaces. 0 until
 * a restore writes it (lib/kept/generation.ts), with an ID that no other restore has. It is where
 * every user can read and a reboot leaves nothing; one with the same name is that of a program that
 * has ended, for this process has its pid.
 */
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Always as long: CRIU compares the sizes of open files. */
enum { SIZE = 64, MODE = 0644 };

static void path_of(pid_t pid, char *path, size_t size)
{
	snprintf(path, size, "/dev/shm/criu-cuda-generation-%d", pid);
}

static int write_first(const char *path)
{
	char line[SIZE + 1];
	int ret = 0, fd;

	if (unlink(path) && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
	if (fd < 0)
		return -errno;
	snprintf(line, sizeof(line), "%-*d\n", SIZE - 1, 0);
	if (fchmod(fd, MODE))
		ret = -errno;
	else if (write(fd, line, SIZE) != SIZE)
		ret = -EIO;
	close(fd);
	return ret;
}

int launch_begin_generation(void)
{
	char path[64];
	int ret;

	path_of(getpid(), path, sizeof(path));
	ret = write_first(path);
	if (!ret && setenv("CRIU_CUDA_GENERATION_FILE", path, 1))
		ret = -errno;
	return ret;
}

void launch_end_generation(pid_t pid)
{
	char path[64];

	path_of(pid, path, sizeof(path));
	unlink(path);
}
