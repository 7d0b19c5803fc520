// SPDX-License-Identifier: GPL-2.0-only
/*
 * During a dump only the pool has the application's memory. The watcher keeps a
 * duplicate descriptor of each allocation, so that the memory survives when the
 * pool is killed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/device/fd_backup.h"
#include "plugin/device/pool_link.h"
#include "plugin/task/state.h"
#include "common/protocol/message.h"

struct backup {
	struct backup *next;
	struct ccr_message message;
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds;
};

static struct backup *backups, **last = &backups;

int ccr__fd_backup_open(void)
{
	struct pool_link *link = &ccr__pool_link;

	if (link->fd_backup[1] >= 0) /* the watcher already has the other end */
		return 0;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link->fd_backup) ? -errno : 0;
}

/* The watcher needs one descriptor for each allocation. */
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
	struct backup *backup;
	int ret;

	if (ccr__pool_link.fd_backup[0] < 0)
		return false;
	backup = malloc(sizeof(*backup));
	ret = backup ? ccr_message_receive(ccr__pool_link.fd_backup[0], &backup->message,
					   backup->fds, &backup->nr_fds, 0)
		     : -ENOMEM;
	if (ret) {
		free(backup);
		if (ret == -ETIMEDOUT)
			return false;
		/* The other ends are closed: no more messages will come. */
		close(ccr__pool_link.fd_backup[0]);
		ccr__pool_link.fd_backup[0] = -1;
		return false;
	}
	if (!backups)
		raise_file_limit();
	backup->next = NULL;
	*last = backup;
	last = &backup->next;
	return true;
}

int ccr__fd_backup_send(uint32_t operation)
{
	bool is_complete = false;
	int ret = 0;

	for (const struct backup *d = backups; !ret && d; d = d->next) {
		if (d->message.operation != operation)
			continue;
		ret = ccr_message_send_waiting(ccr__pool_link.socket, &d->message, d->fds,
					       d->nr_fds, ccr__plugin.settings.step_timeout_ms);
		is_complete |= d->message.type == CCR_MSG_END;
	}
	if (!ret && !is_complete) {
		/* The pool died before the application handed over any memory. */
		struct ccr_message end;

		ccr_message_init(&end, CCR_MSG_END, operation);
		ret = ccr_message_send(ccr__pool_link.socket, &end, NULL, 0);
	}
	return ret;
}
