// SPDX-License-Identifier: MIT
#include "common/protocol/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int unix_socket(const char *path, int type, struct sockaddr_un *address)
{
	int fd;

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int ccr_socket_connect(const char *path)
{
	struct sockaddr_un address;
	const int fd = unix_socket(path, SOCK_SEQPACKET, &address);
	int ret;

	if (fd < 0)
		return fd;
	do
		ret = connect(fd, (struct sockaddr *)&address, sizeof(address));
	while (ret && errno == EINTR);
	if (!ret)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

int ccr_socket_listen(const char *path, int type)
{
	struct sockaddr_un address;
	const int fd = unix_socket(path, type, &address);
	int ret;

	if (fd < 0)
		return fd;
	/* Set before bind, so that the file never has wider permissions. */
	if (fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, 64)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

bool ccr_socket_is_seqpacket(int fd)
{
	int domain = 0, type = 0;
	socklen_t size = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_UNIX &&
	       !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET;
}
