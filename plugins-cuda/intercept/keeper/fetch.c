// SPDX-License-Identifier: MIT
#include "intercept/keeper/fetch.h"
#include "intercept/keeper/others.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* For a process that is stopped, or not what its name says. */
#define PATIENCE_SECONDS 10

static int connect_to(pid_t pid, unsigned int n)
{
	const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct ucred peer = {.pid = 0};
	socklen_t size = sizeof(peer);
	struct sockaddr_un name;
	int error = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&name, ccr__others_name(&name, pid, n)) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		error = errno;
	else if (peer.pid != pid || !ccr__others_may(peer.uid, geteuid()))
		error = EACCES; /* its pid is 0 here if it is in another pid namespace */
	if (!error)
		return fd;
	close(fd);
	return -error;
}

/* The descriptor; -ENOENT: there is none; or another -errno. */
static int ask(int socket, const struct ccr__token *token)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int fds[(sizeof(control) - CMSG_LEN(0)) / sizeof(int)], nr = 0;
	const struct cmsghdr *head;
	ssize_t got;

	if (send(socket, token, sizeof(*token), MSG_NOSIGNAL) != sizeof(*token))
		return -errno;
	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (!got)
		return -ECONNRESET;
	head = CMSG_FIRSTHDR(&message);
	if (head && head->cmsg_type == SCM_RIGHTS) {
		nr = (head->cmsg_len - CMSG_LEN(0)) / sizeof(*fds);
		memcpy(fds, CMSG_DATA(head), nr * sizeof(*fds));
	}
	if (nr == 1 && !(message.msg_flags & MSG_CTRUNC))
		return fds[0];
	/* It is not a keeper, or there is no room for a descriptor. */
	for (int i = 0; i < nr; i++)
		close(fds[i]);
	return nr ? -EPROTO : message.msg_flags & MSG_CTRUNC ? -EMFILE : -ENOENT;
}

int ccr__keep_fetch(pid_t pid, const struct ccr__token *token)
{
	int ret = -ENOENT;

	for (unsigned int n = 0; n < CCR__OTHERS_NAMES && ret == -ENOENT; n++) {
		const int socket = connect_to(pid, n);

		/* Gaps: another process with this pid may have ended. */
		if (socket == -ECONNREFUSED || socket == -EACCES)
			continue;
		ret = socket < 0 ? socket : ask(socket, token);
		if (socket >= 0)
			close(socket);
	}
	return ret;
}
