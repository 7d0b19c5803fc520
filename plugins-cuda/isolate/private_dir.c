// SPDX-License-Identifier: MIT
#include "isolate/isolate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a path is to the private files. */
enum relation { SHARED, ABOVE_PRIVATE, PRIVATE };

static enum relation relation_of(const char *path, char **files)
{
	const size_t length = strlen(path);
	enum relation found = SHARED;

	for (; *files; files++) {
		if (strncmp(*files, path, length))
			continue;
		if (!(*files)[length])
			return PRIVATE;
		if ((*files)[length] == '/')
			found = ABOVE_PRIVATE;
	}
	return found;
}

static int make_link(int dir, const char *name, const char *path)
{
	char target[PATH_MAX];
	const ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlink(target, path) ? -errno : 0;
}

/* What the entry is bound over. */
static int make_target(const char *path, bool is_directory)
{
	int fd;

	if (is_directory)
		return mkdir(path, 0700) ? -errno : 0;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* The real directory is below the private one; its descriptor leads there. */
static int bind_entry(int dir, const char *name, const char *path, mode_t mode)
{
	char source[PATH_MAX];
	int ret;

	if (S_ISLNK(mode))
		return make_link(dir, name, path);
	ret = make_target(path, S_ISDIR(mode));
	if (ret)
		return ret;
	snprintf(source, sizeof(source), "/proc/self/fd/%d/%s", dir, name);
	if (!mount(source, path, NULL, MS_BIND | MS_REC, NULL))
		return 0;
	ret = -errno;
	if (S_ISDIR(mode))
		rmdir(path);
	else
		unlink(path);
	return ret;
}

static int fill(int dir, const char *path, char **files);

static int make_private(int dir, const char *name, const char *path, const struct stat *stat,
			char **files)
{
	int ret, real;

	if (!S_ISDIR(stat->st_mode))
		return -ENOTDIR;
	real = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (real < 0)
		return -errno;
	ret = mkdir(path, 0700) || chown(path, stat->st_uid, stat->st_gid) ||
			      chmod(path, stat->st_mode & 07777)
		      ? -errno
		      : 0;
	if (!ret)
		ret = fill(real, path, files);
	close(real);
	return ret;
}

static int add_entry(int dir, const char *name, const char *path, char **files)
{
	struct stat stat;

	if (fstatat(dir, name, &stat, AT_SYMLINK_NOFOLLOW))
		return -errno;
	switch (relation_of(path, files)) {
	case PRIVATE:
		return 0;
	case ABOVE_PRIVATE:
		return make_private(dir, name, path, &stat, files);
	default:
		return bind_entry(dir, name, path, stat.st_mode);
	}
}

static int fill(int dir, const char *path, char **files)
{
	const int listing = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = listing < 0 ? NULL : fdopendir(listing);
	struct dirent *entry;
	int ret = 0;

	if (!stream) {
		ret = -errno;
		if (listing >= 0)
			close(listing);
		return ret;
	}
	while (!ret && (entry = readdir(stream))) {
		char *below;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (asprintf(&below, "%s/%s", path, entry->d_name) < 0) {
			ret = -ENOMEM;
			break;
		}
		ret = add_entry(dir, entry->d_name, below, files);
		free(below);
		/* it has just been removed, or is a mount that must not be seen elsewhere */
		if (ret == -ENOENT || ret == -EINVAL)
			ret = 0;
	}
	closedir(stream);
	return ret;
}

int isolate_private_dir(const char *dir, char **files)
{
	const int real = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char options[128];
	struct stat stat;
	int ret = 0;

	if (real < 0)
		return -errno;
	if (fstat(real, &stat)) {
		ret = -errno;
		goto out;
	}
	snprintf(options, sizeof(options), "mode=%o,uid=%u,gid=%u", stat.st_mode & 07777,
		 stat.st_uid, stat.st_gid);
	if (mount("criu-cuda", dir, "tmpfs", MS_NOSUID | MS_NODEV, options))
		ret = -errno;
	else
		ret = fill(real, dir, files);
out:
	close(real);
	return ret;
}
