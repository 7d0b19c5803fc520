// SPDX-License-Identifier: MIT
#include "workloads/ranks/ranks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int tcp_pair(int pair[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	pair[0] = pair[1] = -1;
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) ||
	    listen(listener, 1) || getsockname(listener, (struct sockaddr *)&address, &length))
		return -1;
	pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (pair[1] < 0 || connect(pair[1], (struct sockaddr *)&address, length))
		return -1;
	pair[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	for (int i = 0; i < 2; i++)
		if (pair[i] < 0 || setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
			return -1;
	return 0;
}

int mesh_make(struct mesh *all, const struct ranks_options *options)
{
	int pair[2];

	memset(all, -1, options->ranks * sizeof(*all));
	for (int i = 0; i < options->ranks; i++) {
		for (int k = i + 1; k < options->ranks; k++) {
			if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
				return -1;
			all[i].pairs[k] = pair[0];
			all[k].pairs[i] = pair[1];
		}
		if (!i)
			continue;
		if (options->tcp ? tcp_pair(pair)
				 : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			return -1;
		all[0].star[i] = pair[0];
		all[i].star[0] = pair[1];
	}
	return 0;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void mesh_close(struct mesh *mesh)
{
	for (int i = 0; i < MAX_RANKS; i++) {
		close_one(&mesh->pairs[i]);
		close_one(&mesh->star[i]);
	}
}

int mesh_send(int socket, const void *data, size_t bytes, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {(void *)data, bytes};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *header;

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	while (iov.iov_len) {
		const ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -1;
		iov.iov_base = (char *)iov.iov_base + sent;
		iov.iov_len -= sent;
		message.msg_controllen = 0;
	}
	return 0;
}

int mesh_receive(int socket, void *data, size_t bytes, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {data, bytes};

	if (fd)
		*fd = -1;
	while (iov.iov_len) {
		struct msghdr message = {.msg_iov = &iov,
					 .msg_iovlen = 1,
					 .msg_control = control,
					 .msg_controllen = sizeof(control)};
		const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
		const struct cmsghdr *header;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got ? errno : EPIPE;
			return -1;
		}
		header = CMSG_FIRSTHDR(&message);
		if (fd && header && header->cmsg_type == SCM_RIGHTS)
			memcpy(fd, CMSG_DATA(header), sizeof(*fd));
		iov.iov_base = (char *)iov.iov_base + got;
		iov.iov_len -= got;
	}
	return 0;
}
