// SPDX-License-Identifier: GPL-2.0-only
/* The connection of one criu run to the pool: the daemon, or a helper started for this run. */
#ifndef CCR_PLUGIN_POOL_LINK_H
#define CCR_PLUGIN_POOL_LINK_H

#include "common/protocol/protocol.h"
#include "plugin/task/state.h"

/*
 * The descriptors that requests carry; -1: none. The watcher reads from
 * fd_backup[0]; the pool gets fd_backup[1].
 */
struct pool_link {
	int socket, images_dir, fd_backup[2];
	int earlier;			       /* directory of CRIU_CUDA_PREV_IMAGES_DIR */
	bool is_daemon, is_early, is_replaced; /* early: the helper was there before criu */
	unsigned int number; /* of the connection: another pool has another number */
	pid_t peer;	 /* process at the other end, once it has sent a message; 0: not known */
	uint32_t group;	 /* how many tasks get their memory before one runs; 0: each alone */
	char error[256]; /* what the last failure was, a sentence; may be empty */
};
extern struct pool_link ccr__pool_link;

/* Connects to the daemon if there is one to use, or starts a helper. Returns 0 or -errno. */
int ccr__pool_connect(void);
/* The pool died, or cannot serve this run: starts a helper to replace it. Returns 0 or -errno. */
int ccr__pool_replace(const char *why);
/* Writes to log and status file that something else does the work, and why. `pid` 0: for all. */
void ccr__pool_note_fallback(pid_t pid, const char *to, const char *why);

/*
 * Sends a request about `task` (NULL: about all images), with the settings of
 * this run and the descriptors in `fds` (CCR_OP_*). Returns 0 or -errno. A
 * roll-back is sent without a connection when there cannot be one, because the
 * pool may not need it.
 */
int ccr__pool_request(enum ccr_message_type type, const struct task *task, uint32_t fds);

/*
 * Waits for the reply of type `expected` about the operation (0: any) and stores
 * it in `reply`. Results of other operations are stored in their tasks. Returns
 * 0, the pool's -errno, whose text is then logged, -ETIMEDOUT, or -EPIPE when the
 * pool has ended.
 */
int ccr__pool_reply(enum ccr_message_type expected, uint32_t operation, struct ccr_message *reply,
		    int timeout_ms);
/* Stores what has arrived about operations with an exchange in progress (exchange.h), without
 * waiting. */
void ccr__pool_take(void);

#endif
