// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/watch/connections.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/watch/background.h"
#include "plugin/watch/network_lock.h"
#include "plugin/task/state.h"

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#define CONNECTIONS_MAX 4096

struct connection {
	pid_t pid;
	int fd;		 /* its number there */
	int reuse;	 /* SO_REUSEADDR, which repair mode changes */
	uint64_t cookie; /* tells the socket from all others */
	struct ccr__address_pair addresses;
};

struct shared {
	atomic_int elsewhere; /* a process in another network namespace than criu; 0: none */
	atomic_uint nr;
	struct connection list[CONNECTIONS_MAX];
};

static struct shared *shared;

int ccr__connections_prepare(void)
{
	void *memory = ccr__background_memory(sizeof(*shared));

	if (!memory)
		return -errno;
	shared = memory;
	return 0;
}

static int option(int fd, int level, int name, int *value)
{
	socklen_t length = sizeof(*value);

	return getsockopt(fd, level, name, value, &length);
}

/* Whether it is a TCP socket that is connected; fills in what is known about it. */
static bool describe(int fd, struct connection *connection)
{
	struct ccr__address_pair *pair = &connection->addresses;
	socklen_t local = sizeof(pair->local), peer = sizeof(pair->peer);
	socklen_t cookie = sizeof(connection->cookie);
	int protocol;

	return !option(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) && protocol == IPPROTO_TCP &&
	       !getpeername(fd, (struct sockaddr *)&pair->peer, &peer) &&
	       !getsockname(fd, (struct sockaddr *)&pair->local, &local) &&
	       !option(fd, SOL_SOCKET, SO_REUSEADDR, &connection->reuse) &&
	       !getsockopt(fd, SOL_SOCKET, SO_COOKIE, &connection->cookie, &cookie);
}

static bool is_known(const struct connection *connection)
{
	const unsigned int nr = atomic_load(&shared->nr);

	for (unsigned int i = 0; i < nr; i++)
		if (shared->list[i].cookie == connection->cookie)
			return true;
	return false;
}

static bool note(int pidfd, pid_t pid, int number)
{
	struct connection connection = {.pid = pid, .fd = number};
	const unsigned int nr = atomic_load(&shared->nr);
	const int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	const bool is_connection = fd >= 0 && describe(fd, &connection);

	if (fd >= 0)
		close(fd);
	if (is_connection && nr < CONNECTIONS_MAX && !is_known(&connection)) {
		shared->list[nr] = connection;
		atomic_store(&shared->nr, nr + 1);
	}
	return is_connection;
}

static bool is_socket(int dir, const char *name)
{
	static const char prefix[] = "socket:";
	char target[sizeof(prefix)] = "";

	return readlinkat(dir, name, target, sizeof(target) - 1) > 0 && !strcmp(target, prefix);
}

/* CRIU dumps no tree with more than one network namespace that it would have to lock. */
static void note_namespace(pid_t pid)
{
	struct stat own, its;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	if (!stat("/proc/self/ns/net", &own) && !stat(path, &its) && own.st_ino != its.st_ino)
		atomic_store(&shared->elsewhere, pid);
}

int ccr__connections_note(pid_t pid)
{
	struct dirent *entry;
	char path[32];
	int nr = 0, pidfd;
	DIR *fds;

	note_namespace(pid);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	fds = opendir(path);
	if (!fds)
		return -errno;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	while (pidfd >= 0 && (entry = readdir(fds)))
		if (is_socket(dirfd(fds), entry->d_name))
			nr += note(pidfd, pid, strtol(entry->d_name, NULL, 10));
	close(pidfd);
	closedir(fds);
	return nr;
}

/* Also where the process has meanwhile closed it, or was killed: then it is another socket, or
 * none. */
static void leave_repair_mode(const struct connection *connection)
{
	const int pidfd = (int)syscall(SYS_pidfd_open, connection->pid, 0), off = 0;
	const int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, connection->fd, 0);
	struct connection now = {.pid = connection->pid};
	int is_repaired = 0;

	if (fd >= 0 && describe(fd, &now) && now.cookie == connection->cookie &&
	    !option(fd, IPPROTO_TCP, TCP_REPAIR, &is_repaired) && is_repaired) {
		if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)))
			ccr_err("cannot resume a connection of %d: %s", connection->pid,
				strerror(errno));
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &connection->reuse,
			   sizeof(connection->reuse));
	}
	if (fd >= 0)
		close(fd);
	if (pidfd >= 0)
		close(pidfd);
}

/* First the packets can pass: a socket that leaves repair mode sends one. */
void ccr__connections_unlock(void)
{
	const unsigned int nr = atomic_load(&shared->nr);
	const pid_t elsewhere = atomic_load(&shared->elsewhere);

	if (elsewhere)
		ccr__network_unlock_namespace(elsewhere);
	if (!nr)
		return;
	ccr__network_unlock_begin();
	for (unsigned int i = 0; i < nr; i++)
		ccr__network_unlock(&shared->list[i].addresses);
	for (unsigned int i = 0; i < nr; i++)
		leave_repair_mode(&shared->list[i]);
}
