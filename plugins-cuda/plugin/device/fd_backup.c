// SPDX-License-Identifier: GPL-2.0-only
/*
 * While a dump is under way the application's memory is in the pool's hands
 * alone. The watcher keeps a second descriptor of each allocation, which is all
 * that keeps the memory there when the pool is killed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/device/fd_backup.h"
#include "plugin/device/pool_link.h"
#include "common/protocol/message.h"

#define SEND_TIMEOUT_MS 30000

struct deposit {
	struct deposit *next;
	struct ccr_message message;
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds;
};

static struct deposit *deposits, **last = &deposits;

int ccr__fd_backup_open(void)
{
	struct pool_link *link = &ccr__pool_link;

	if (link->fd_backup[1] >= 0) /* the other end is the watcher's by now */
		return 0;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link->fd_backup) ? -errno : 0;
}

/* One descriptor for each allocation. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

bool ccr__fd_backup_take(void)
{
	struct deposit *deposit;
	int ret;

	if (ccr__pool_link.fd_backup[0] < 0)
		return false;
	deposit = malloc(sizeof(*deposit));
	ret = deposit ? ccr_message_receive(ccr__pool_link.fd_backup[0], &deposit->message,
					    deposit->fds, &deposit->nr_fds, 0)
		      : -ENOMEM;
	if (ret) {
		free(deposit);
		if (ret == -ETIMEDOUT)
			return false;
		/* The other ends are closed: no more is to be had. */
		close(ccr__pool_link.fd_backup[0]);
		ccr__pool_link.fd_backup[0] = -1;
		return false;
	}
	if (!deposits)
		raise_file_limit();
	deposit->next = NULL;
	*last = deposit;
	last = &deposit->next;
	return true;
}

int ccr__fd_backup_send(uint32_t operation)
{
	bool is_complete = false;
	int ret = 0;

	for (const struct deposit *d = deposits; !ret && d; d = d->next) {
		if (d->message.operation != operation)
			continue;
		ret = ccr_message_send_waiting(ccr__pool_link.socket, &d->message, d->fds,
					       d->nr_fds, SEND_TIMEOUT_MS);
		is_complete |= d->message.type == CCR_MSG_END;
	}
	if (!ret && !is_complete) {
		/* The pool died before the application gave anything up. */
		struct ccr_message end;

		ccr_message_init(&end, CCR_MSG_END, operation);
		ret = ccr_message_send(ccr__pool_link.socket, &end, NULL, 0);
	}
	return ret;
}
