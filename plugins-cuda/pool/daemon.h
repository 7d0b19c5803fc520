// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_DAEMON_H
#define CCR_POOL_DAEMON_H

/* Serves everybody until SIGTERM; the exit code. */
int daemon_run(void);

#endif
