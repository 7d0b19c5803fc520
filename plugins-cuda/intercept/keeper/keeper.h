// SPDX-License-Identifier: MIT
/*
 * Keeps open descriptors that the program cannot see: it may close, inherit or
 * run out of its own, and CRIU would dump them. A thread of ours, criu-cuda-keep,
 * has a descriptor table of its own; it starts with the first descriptor. CRIU
 * looks at the program's table only, and restores the thread with that one, so the
 * thread must have ended before CRIU freezes the process (ccr__keep_end); a thread
 * that comes back in this way notices, and ends without touching the program's
 * descriptors. Any thread may call; calls wait for each other.
 */
#ifndef CCR_INTERCEPT_KEEPER_H
#define CCR_INTERCEPT_KEEPER_H

#include <stddef.h>
#include <stdint.h>

struct ccr__token;

/* The most descriptors that one ccr__keep_send sends. */
#define CCR__KEEP_MAX 64

/*
 * Keeps a duplicate of `fd`, and stores its number, which is never 0. Returns 0, or
 * -errno when it is not kept: the keeper has as many as it may, or cannot start.
 */
int ccr__keep(int fd, uint64_t *kept);
/* Closes a kept descriptor, before this returns. Does nothing for 0 and for one that is lost. */
void ccr__keep_drop(uint64_t kept);
/*
 * Sends a message with duplicates of kept descriptors on a socket of the program. Returns
 * 0; -ESTALE when one of them is lost; or the -errno of sendmsg.
 */
int ccr__keep_send(int socket, const void *message, size_t size, const uint64_t *kept, int nr);
/*
 * Gives a duplicate to every process of this user, and of root, that asks with this token (see
 * fetch.h), until it is dropped. Returns 0; -ESTALE when it is lost; or another -errno.
 */
int ccr__keep_publish(uint64_t kept, const struct ccr__token *token);
/* Closes everything and ends the thread, which does not exist any more when this returns. */
void ccr__keep_end(void);
/* In a forked child, which has no such thread: nothing is kept. */
void ccr__keep_reset(void);

#endif
