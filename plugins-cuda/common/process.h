// SPDX-License-Identifier: MIT
/* What /proc says of a process. */
#ifndef CCR_COMMON_PROCESS_H
#define CCR_COMMON_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * True once SIGKILL is pending and after the thread has ended: it will do nothing
 * more. A process whose first thread has ended by itself may have others that run.
 *
 * A peer's end of a pipe or socket hangs up, and calls of the driver fail, before the
 * process is a zombie and its pidfd is readable; this is already true then.
 */
bool ccr_is_dying(pid_t tid);

#endif
