// SPDX-License-Identifier: MIT
#ifndef CCR_INTERCEPT_CONNECT_H
#define CCR_INTERCEPT_CONNECT_H

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/protocol/mailbox.h"

/*
 * What the plugin does from outside: puts a connection in the mailbox of this
 * process, once it has one and the service thread has taken the last. Returns our
 * end, or -1.
 */
static inline int connect_service(void)
{
	struct ccr_mailbox mailbox, *mine;
	uint64_t address;
	int pair[2], end;

	while (ccr_mailbox_read(getpid(), &mailbox, &address) ||
	       mailbox.ends != CCR_MAILBOX_NO_ENDS)
		sched_yield();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -1;
	end = dup(pair[0]);
	mailbox.end[0] = pair[0];
	mailbox.end[1] = pair[1];
	mine = (void *)(uintptr_t)address;
	__atomic_store_n(&mine->ends, mailbox.ends, __ATOMIC_RELEASE);
	syscall(SYS_futex, &mine->end[1], FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	return end;
}

#endif
