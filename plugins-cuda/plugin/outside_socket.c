// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connected Unix sockets whose peer is a process outside the tree, such as a client of the program
 * or the journal that reads its output. CRIU cannot dump half of a connection. The peer sees the
 * connection close when the tree ends; the restored program sees the same on its side.
 */
#include "plugin/plugin.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/task/task.h"

int ccr__dump_outside_socket(int fd, int inode)
{
	int type;
	socklen_t size = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size)) {
		ccr_err("Unix socket %d: cannot read its type: %s", inode, strerror(errno));
		return -errno;
	}
	/* CRIU connects a datagram socket again by the name of its peer: --ext-unix-sk. */
	if (type != SOCK_STREAM)
		return -ENOTSUP;
	ccr_info("Unix socket %d is connected to a process outside the tree: closed at a restore",
		 inode);
	return 0;
}

int ccr__restore_outside_socket(int inode)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
		ccr_err("Unix socket %d: socketpair: %s", inode, strerror(errno));
		return -errno;
	}
	close(pair[1]);
	return pair[0];
}
