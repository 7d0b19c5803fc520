// SPDX-License-Identifier: MIT
/* Our mailbox (common/protocol/mailbox.h). */
#ifndef CCR_INTERCEPT_MAILBOX_H
#define CCR_INTERCEPT_MAILBOX_H

#include "common/protocol/mailbox.h"

/* Never NULL: before ccr__mailbox_create, and if it fails, a struct that nobody reads. */
extern struct ccr_mailbox *ccr__mailbox;

/* Once in a process, before its service thread starts. Returns 0 or -errno. */
int ccr__mailbox_create(void);

#endif
