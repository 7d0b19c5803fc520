// SPDX-License-Identifier: MIT
#include "common/protocol/mailbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* The file system of all memory files, which has no mount. Returns 0 or -errno. */
static int find_memory_device(dev_t *device)
{
	const int fd = syscall(SYS_memfd_create, CCR_MAILBOX_NAME, MFD_CLOEXEC);
	struct stat status;
	int ret;

	if (fd < 0)
		return -errno;
	ret = fstat(fd, &status) ? -errno : 0;
	close(fd);
	*device = status.st_dev;
	return ret;
}

bool ccr_mailbox_is_in(const char *line)
{
	static dev_t memory; /* the same for every thread */
	unsigned int major, minor;
	int path = 0;

	if (!strstr(line, "/memfd:" CCR_MAILBOX_NAME " (deleted)") ||
	    sscanf(line, "%*s %*s %*s %x:%x %*u %n", &major, &minor, &path) != 2 || !path ||
	    strncmp(line + path, "/memfd:", strlen("/memfd:")))
		return false;
	return (memory || !find_memory_device(&memory)) && makedev(major, minor) == memory;
}

static int find(pid_t pid, uint64_t *address)
{
	int ret = -ENOENT;
	size_t size = 0;
	char path[32], *line = NULL;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (ret && getline(&line, &size, maps) > 0)
		if (ccr_mailbox_is_in(line) && sscanf(line, "%" SCNx64, address) == 1)
			ret = 0;
	free(line);
	fclose(maps);
	return ret;
}

int ccr_mailbox_read(pid_t pid, struct ccr_mailbox *mailbox, uint64_t *address)
{
	const struct iovec local = {mailbox, sizeof(*mailbox)};
	struct iovec remote = {NULL, sizeof(*mailbox)};
	uint64_t at;
	int ret = find(pid, &at);

	if (ret)
		return ret;
	remote.iov_base = (void *)(uintptr_t)at;
	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != sizeof(*mailbox))
		return -errno;
	if (mailbox->magic != CCR_MAILBOX_MAGIC ||
	    mailbox->size < offsetof(struct ccr_mailbox, imports))
		return -EPROTO;
	if (mailbox->size < sizeof(*mailbox))
		memset((char *)mailbox + mailbox->size, 0, sizeof(*mailbox) - mailbox->size);
	if (address)
		*address = at;
	return 0;
}
