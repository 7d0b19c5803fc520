// SPDX-License-Identifier: MIT
/* Our mailbox (common/protocol/mailbox.h). */
#ifndef CCR_INTERCEPT_MAILBOX_H
#define CCR_INTERCEPT_MAILBOX_H

#include "common/protocol/mailbox.h"

/* Never NULL: before ccr__mailbox_create, and if it fails, a struct that nobody reads. */
extern struct ccr_mailbox *ccr__mailbox;

/* Once in a process, before its service thread starts. Returns 0 or -errno. */
int ccr__mailbox_create(void);

/* Before memory of the process is registered, or after a registration has failed or was undone:
 * `by` is 1 or -1. */
static inline void ccr__mailbox_count_registration(int by)
{
	__atomic_add_fetch(&ccr__mailbox->registrations, (uint64_t)by, __ATOMIC_SEQ_CST);
}

#endif
