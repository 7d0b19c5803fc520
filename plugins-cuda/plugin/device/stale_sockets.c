// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool removes the socket of each operation that ends; a pool that was killed
 * cannot. The pid in the operation number does not tell whether the pool is
 * alive: with clones the pool is in another PID namespace.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugin/device/stale_sockets.h"
#include "common/protocol/protocol.h"
#include "common/protocol/unix_socket.h"

static bool is_operation(const char *name, uint32_t *operation)
{
	int end = 0;

	return sscanf(name, CCR_OP_SOCKET_FORMAT "%n", operation, &end) == 1 && end && !name[end];
}

/*
 * True when no process is bound to the socket. We try to connect a datagram
 * socket: a live pool's socket has another type, so the kernel returns -EPROTOTYPE
 * and the pool does not see a connection.
 */
static bool is_stale(const char *run_dir, uint32_t operation)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	bool is_refused;
	int fd;

	if (ccr_op_socket_path(address.sun_path, sizeof(address.sun_path), run_dir, operation))
		return false;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	is_refused =
		connect(fd, (struct sockaddr *)&address, sizeof(address)) && errno == ECONNREFUSED;
	close(fd);
	return is_refused;
}

void ccr__remove_stale_sockets(const char *run_dir)
{
	struct dirent *entry;
	uint32_t operation;
	DIR *dir = opendir(run_dir);

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (is_operation(entry->d_name, &operation) && is_stale(run_dir, operation))
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}
