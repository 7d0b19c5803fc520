// SPDX-License-Identifier: GPL-2.0-only
/*
 * While CRIU dumps a TCP connection, packets of it are dropped by a rule of the machine, and its
 * socket is in repair mode, in which sending and receiving fail. CRIU undoes both, unless it is
 * killed. So the connections of the tree are noted before, and the watcher undoes both then, while
 * the processes are stopped.
 */
#ifndef CCR_PLUGIN_CONNECTIONS_H
#define CCR_PLUGIN_CONNECTIONS_H

#include <sys/types.h>

/* In criu, before it starts the watcher: makes memory that both have. Returns 0 or -errno. */
int ccr__connections_prepare(void);
/* In criu: notes the connections of a stopped process. Returns how many it has, or -errno. */
int ccr__connections_note(pid_t pid);
/* In the watcher: opens them again. Does nothing when there are none, or when CRIU has done it. */
void ccr__connections_unlock(void);

#endif
