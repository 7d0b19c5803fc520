// SPDX-License-Identifier: MIT
/*
 * Threads with a descriptor table of their own. The C library does not know them, and
 * they do not call it: they make raw system calls and have all signals blocked. They are
 * made by clone, because seccomp profiles of container engines refuse unshare.
 */
#ifndef CCR_INTERCEPT_KEEPER_THREAD_H
#define CCR_INTERCEPT_KEEPER_THREAD_H

#include <stdint.h>
#include <sys/types.h>

#define CCR__KEEPER_STACK (64 << 10)

/*
 * Starts a thread that runs on `stack`, of CCR__KEEPER_STACK bytes, with a copy of the caller's
 * table. `*is_alive` is 1 until it ends. Returns its tid or -errno.
 */
pid_t ccr__keeper_thread_start(int (*run)(void *), char *stack, void *argument, uint32_t *is_alive);
/* Waits while a word that one of these threads, or its end, changes has this value. */
void ccr__keeper_thread_wait(uint32_t *word, uint32_t value);
/* Waits until a thread that has ended is not listed in /proc any more, which takes a moment. */
void ccr__keeper_thread_gone(pid_t tid);

#endif
