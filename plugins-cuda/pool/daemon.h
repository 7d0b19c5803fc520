// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_DAEMON_H
#define CCR_POOL_DAEMON_H

/* Serves all connections until SIGTERM. Returns the exit code. */
int daemon_run(void);

#endif
