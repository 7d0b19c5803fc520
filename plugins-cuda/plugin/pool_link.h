// SPDX-License-Identifier: GPL-2.0-only
/* The connection of one criu run to the pool: the daemon, or a helper of its own. */
#ifndef CCR_PLUGIN_POOL_LINK_H
#define CCR_PLUGIN_POOL_LINK_H

#include "common/protocol.h"

/* Starts the helper or connects to the daemon on first use; the socket or -errno. */
int ccr__pool_link(void);
/* The socket as it is, -1 before the first use; and, for the watcher, a socket it was handed. */
int ccr__pool_link_fd(void);
void ccr__pool_link_set(int fd);

/*
 * Sends a request about `pid` (host) whose image is named by `image_pid`, with
 * the settings of this run. OP_DUMP and OP_RESTORE carry the images directory
 * and the status file. 0 or -errno.
 */
int ccr__pool_request(enum ccr_message_type type, uint32_t operation, pid_t pid, pid_t image_pid);

/*
 * Waits for OP_READY or OP_RESULT into `reply`. 0; the pool's -errno, with its
 * text logged; -ETIMEDOUT; -EPIPE when the pool is gone.
 */
int ccr__pool_reply(enum ccr_message_type expected, struct ccr_message *reply, int timeout_ms);

#endif
