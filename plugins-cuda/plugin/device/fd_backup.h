// SPDX-License-Identifier: GPL-2.0-only
/* What the pool holds, by descriptor, in case that it dies. */
#ifndef CCR_PLUGIN_FD_BACKUP_H
#define CCR_PLUGIN_FD_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

/* In criu: makes the sockets, once for all tasks. 0 or -errno. */
int ccr__fd_backup_open(void);
/* In the watcher: takes one message in; false when there is none, now (socket stays) or ever. */
bool ccr__fd_backup_take(void);
/* Sends the messages of an operation on to a pool. 0 or -errno. */
int ccr__fd_backup_send(uint32_t operation);

#endif
