// SPDX-License-Identifier: MIT
#include "intercept/keeper/shared.h"

union fd_room {
	struct cmsghdr head;
	char room[CMSG_SPACE(CCR__KEEP_MAX * sizeof(int))];
};

bool ccr__pass_is_own(int socket)
{
	struct ucred peer = {.pid = 0};
	socklen_t size = sizeof(peer);

	return !ccr__raw(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
	       peer.pid == ccr__raw(SYS_getpid, 0);
}

long ccr__pass_send(int socket, const void *bytes, size_t size, const int *fds, int nr)
{
	struct iovec iov = {(void *)bytes, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_room control;

	if (nr) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(nr * sizeof(int));
		for (int i = 0; i < nr; i++)
			((int *)CMSG_DATA(&control.head))[i] = fds[i];
	}
	return ccr__raw(SYS_sendmsg, socket, &msg, MSG_NOSIGNAL);
}

long ccr__pass_receive(int socket, int *fd)
{
	char byte;
	struct iovec iov = {&byte, 1};
	union fd_room control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = CMSG_SPACE(sizeof(int))};
	const long ret = ccr__raw(SYS_recvmsg, socket, &msg, MSG_CMSG_CLOEXEC);

	*fd = msg.msg_flags & MSG_CTRUNC ? -EMFILE : -1;
	if (ret > 0 && msg.msg_controllen >= CMSG_LEN(sizeof(int)) &&
	    control.head.cmsg_type == SCM_RIGHTS)
		*fd = *(int *)CMSG_DATA(&control.head);
	return ret;
}
