// SPDX-License-Identifier: MIT
#include "common/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REMEDY "remove it, or set CRIU_CUDA_RUN_DIR to a directory of your own"

/* Returns 0 when only root and the caller may change the file, otherwise -EPERM or -errno. */
static int check_owner(int fd, mode_t type, char *why, size_t size)
{
	struct stat st;

	if (fstat(fd, &st)) {
		const int ret = -errno;

		snprintf(why, size, "%s", strerror(-ret));
		return ret;
	}
	if ((st.st_mode & S_IFMT) != type)
		snprintf(why, size, "it is not a %s; " REMEDY,
			 type == S_IFDIR ? "directory" : "socket");
	else if (st.st_uid && st.st_uid != geteuid())
		snprintf(why, size, "it belongs to user %u, whom user %u does not trust; " REMEDY,
			 st.st_uid, geteuid());
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		snprintf(why, size, "other users may write to it (mode %04o); " REMEDY,
			 st.st_mode & 07777);
	else
		return 0;
	return -EPERM;
}

int ccr_run_dir_open(const char *path, char *why, size_t size)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int ret = fd < 0 ? -errno : 0;

	if (fd >= 0) {
		ret = check_owner(fd, S_IFDIR, why, size);
		if (!ret)
			return fd;
		close(fd);
		return ret;
	}
	if (ret == -ENOTDIR || ret == -ELOOP) {
		snprintf(why, size, "it is a symbolic link, or not a directory; " REMEDY);
		return -EPERM;
	}
	snprintf(why, size, "%s", strerror(-ret));
	return ret;
}

int ccr_run_dir_make(const char *path, char *why, size_t size)
{
	if (mkdir(path, 0700) && errno != EEXIST) {
		const int ret = -errno;

		snprintf(why, size, "%s", strerror(-ret));
		return ret;
	}
	return ccr_run_dir_open(path, why, size);
}

/* Connects to exactly the file that was checked, whatever its name refers to by now. */
static int connect_to(int file)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", file);
	do
		ret = connect(fd, (struct sockaddr *)&address, sizeof(address));
	while (ret && errno == EINTR);
	if (!ret)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

int ccr_run_dir_connect(const char *path, const char *name, char *why, size_t size)
{
	const int dir = ccr_run_dir_open(path, why, size);
	int file, ret;

	if (dir < 0)
		return dir;
	file = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	ret = file < 0 ? -errno : check_owner(file, S_IFSOCK, why, size);
	if (!ret)
		ret = connect_to(file);
	if (ret < 0 && ret != -EPERM)
		snprintf(why, size, "%s", strerror(-ret));
	if (file >= 0)
		close(file);
	close(dir);
	return ret;
}
