// SPDX-License-Identifier: MIT
#include "pool/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"

/* From Linux 6.5 and 6.11, later than the headers we may be built with. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef PIDFD_GET_USER_NAMESPACE
#define PIDFD_GET_USER_NAMESPACE _IO(0xFF, 9)
#endif

/* Of the process, and of its namespace. */
static int room[2] = {-1, -1};

void peer_keep_room(void)
{
	for (int i = 0; i < 2; i++)
		if (room[i] < 0)
			room[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void use_room(void)
{
	for (int i = 0; i < 2; i++) {
		if (room[i] >= 0)
			close(room[i]);
		room[i] = -1;
	}
}

/*
 * A descriptor of the process that connected. Without SO_PEERPIDFD the pid may have been given to
 * another process since; then that one, which is alive, is what we look at.
 */
static int open_peer(int socket, pid_t pid)
{
	socklen_t size = sizeof(int);
	int pidfd;

	if (!getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size))
		return pidfd;
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	return pidfd < 0 ? -errno : pidfd;
}

/* The process may have ended; its pid then means nothing, or another process. */
static int stat_namespace_of_pid(int pidfd, pid_t pid, struct stat *st)
{
	char path[40];

	if (!pid) /* it is in a PID namespace that is not below ours */
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	if (stat(path, st))
		return -errno;
	return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) && errno == ESRCH ? -ESRCH : 0;
}

static int stat_user_namespace(int pidfd, pid_t pid, struct stat *st)
{
	const int namespace = ioctl(pidfd, PIDFD_GET_USER_NAMESPACE, 0);
	int ret;

	if (namespace < 0)
		return stat_namespace_of_pid(pidfd, pid, st);
	ret = fstat(namespace, st) ? -errno : 0;
	close(namespace);
	return ret;
}

static bool is_in_our_user_namespace(int socket, const struct ucred *peer)
{
	struct stat ours, theirs;
	int pidfd, ret;

	use_room();
	pidfd = open_peer(socket, peer->pid);
	ret = pidfd < 0 ? pidfd : stat_user_namespace(pidfd, peer->pid, &theirs);
	if (pidfd >= 0)
		close(pidfd);
	peer_keep_room();
	if (!ret && stat("/proc/self/ns/user", &ours))
		ret = -errno;
	if (ret)
		ccr_warn("refused pid %d of user %u: cannot see its user namespace: %s", peer->pid,
			 peer->uid, strerror(-ret));
	else if (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
		ccr_warn("refused pid %d of user %u: it is in another user namespace", peer->pid,
			 peer->uid);
	else
		return true;
	return false;
}

bool peer_is_allowed(int socket)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return false;
	if (!peer.uid || peer.uid == geteuid())
		return is_in_our_user_namespace(socket, &peer);
	ccr_warn("refused user %u, pid %d", peer.uid, peer.pid);
	return false;
}

bool peer_speaks(int socket, int timeout_ms)
{
	struct pollfd poller = {.fd = socket, .events = POLLIN};
	int ready;

	do
		ready = poll(&poller, 1, timeout_ms);
	while (ready < 0 && errno == EINTR);
	if (!ready)
		ccr_warn("dropped a client that asked for nothing in %d s", PEER_TIMEOUT_MS / 1000);
	return ready > 0;
}
