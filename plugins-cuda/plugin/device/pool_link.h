// SPDX-License-Identifier: GPL-2.0-only
/* The connection of one criu run to the pool: the daemon, or a helper of its own. */
#ifndef CCR_PLUGIN_POOL_LINK_H
#define CCR_PLUGIN_POOL_LINK_H

#include "common/protocol/protocol.h"
#include "plugin/task/state.h"

/*
 * The descriptors that requests carry; -1: none. fd_backup[0] is read by the
 * watcher, fd_backup[1] goes to the pool.
 */
struct pool_link {
	int socket, images_dir, fd_backup[2];
	bool is_daemon, is_replaced;
};
extern struct pool_link ccr__pool_link;

/* Connects to the daemon where the variant and the settings have one, else starts a helper. 0 or
 * -errno. */
int ccr__pool_connect(void);
/* The pool is gone: a helper in its place. 0 or -errno. */
int ccr__pool_replace(void);

/*
 * Sends a request about `task` (NULL: about all images), with the settings of
 * this run and the descriptors `fds` (CCR_OP_*). 0 or -errno.
 */
int ccr__pool_request(enum ccr_message_type type, const struct task *task, uint32_t fds);

/*
 * Waits for the answer `expected` about the operation (0: any) into `reply`;
 * results of other operations are noted in their tasks. 0; the pool's -errno,
 * with its text logged; -ETIMEDOUT; -EPIPE when the pool is gone.
 */
int ccr__pool_reply(enum ccr_message_type expected, uint32_t operation, struct ccr_message *reply,
		    int timeout_ms);

#endif
