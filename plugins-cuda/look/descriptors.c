// SPDX-License-Identifier: MIT
#include "look/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/device_file.h"

/* The longer prefix first. */
static const struct {
	const char *prefix;
	unsigned int evidence;
} devices[] = {
	{"/dev/nvidia-fs", SEEN_NVIDIA_FS},	  {"/dev/nvidia", SEEN_GPU},
	{"/dev/infiniband/", SEEN_RDMA},	  {"/dev/gdrdrv", SEEN_GDRCOPY},
	{"anon_inode:[io_uring]", SEEN_IO_URING}, {"anon_inode:[perf_event]", SEEN_PERF_EVENT},
};

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

/* A message queue looks like a file in the root directory; only its file system tells. */
static bool is_message_queue(int dir, const char *name, const char *path)
{
	struct statfs fs;
	bool is_queue;
	int fd;

	if (path[0] != '/' || strchr(path + 1, '/'))
		return false;
	fd = openat(dir, name, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return false;
	is_queue = !fstatfs(fd, &fs) && fs.f_type == MQUEUE_MAGIC;
	close(fd);
	return is_queue;
}

/* The devices of the software driver are files: <SOFTCUDA_DIR>/device<N>.mem, and its device file.
 */
static bool is_softcuda(const char *path)
{
	const char *dir = getenv("SOFTCUDA_DIR"), *slash = strrchr(path, '/');
	int device, end = 0;

	if (slash && !strcmp(slash + 1, CCR_SOFTCUDA_NODE))
		return true;
	if (!slash || sscanf(slash, "/device%d.mem%n", &device, &end) != 1 || !end)
		return false;
	if (dir && *dir)
		return !strncmp(path, dir, slash - path) && !dir[slash - path];
	return !strncmp(path, "/dev/shm/softcuda-", strlen("/dev/shm/softcuda-"));
}

static unsigned int evidence_of(const char *path)
{
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (!strncmp(path, devices[i].prefix, strlen(devices[i].prefix)))
			return devices[i].evidence;
	return is_softcuda(path) ? SEEN_GPU : 0;
}

/*
 * Whether a socket can be one of TCP. The kernel names the protocol of a socket in an attribute, in
 * microseconds; the tables of TCP take a millisecond each.
 */
static bool may_be_tcp(int dir, const char *name)
{
	char path[64 + NAME_MAX], protocol[32];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	len = getxattr(path, "system.sockprotoname", protocol, sizeof(protocol) - 1);
	if (len < 0)
		return true;
	protocol[len] = '\0';
	return strstr(protocol, "TCP"); /* TCP, TCPv6, MPTCP, MPTCPv6 */
}

static void note_socket(struct sockets *sockets, int dir, const char *name, const char *path)
{
	uint64_t *inode;
	unsigned long number;

	if (!sockets || sscanf(path, "socket:[%lu]", &number) != 1 || !may_be_tcp(dir, name))
		return;
	inode = ccr__list_add(&sockets->inodes, sizeof(*inode));
	if (inode)
		*inode = number;
}

void ccr__look_descriptors(struct process *process, int root, struct sockets *sockets)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "proc/%d/fd", process->pid);
	dir = ccr__dir_open(root, path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		ssize_t len;

		if (entry->d_name[0] == '.')
			continue;
		process->nr_descriptors++;
		len = readlinkat(dirfd(dir), entry->d_name, path, sizeof(path) - 1);
		if (len <= 0)
			continue;
		path[len] = '\0';
		process->evidence |= evidence_of(path);
		if (is_message_queue(dirfd(dir), entry->d_name, path))
			process->evidence |= SEEN_POSIX_MQ;
		note_socket(sockets, dirfd(dir), entry->d_name, path);
	}
	closedir(dir);
}
