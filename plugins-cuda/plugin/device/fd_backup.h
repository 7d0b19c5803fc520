// SPDX-License-Identifier: GPL-2.0-only
/* Duplicates of the descriptors that the pool holds, in case the pool dies. */
#ifndef CCR_PLUGIN_FD_BACKUP_H
#define CCR_PLUGIN_FD_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

/* In criu: creates the sockets, once for all tasks. Returns 0 or -errno. */
int ccr__fd_backup_open(void);
/* In the watcher: stores one message. Returns false when there is none; the socket is closed if
 * there will be no more. */
bool ccr__fd_backup_take(void);
/* Sends the stored messages of an operation to a pool. Returns 0 or -errno. */
int ccr__fd_backup_send(uint32_t operation);

#endif
