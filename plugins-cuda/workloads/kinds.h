// SPDX-License-Identifier: MIT
/* --kinds: host memory of every kind, for tests that dump it. */
#ifndef CCR_WORKLOAD_KINDS_H
#define CCR_WORKLOAD_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIND_BYTES (2u << 20) /* of most kinds */

/* Call before any fork. Skips kinds that this kernel does not have. Returns 0, or -1 with errno. */
int kinds_make(void);
/*
 * Call after the forks in process `role` (0: the first, n: its nth child).
 * Returns 0, or -1 with errno.
 */
int kinds_start(int role);
/*
 * Answers "ok rounds=N NAME=ADDRESS ..." if every byte is unchanged, else
 * "error kinds NAME: wrong data".
 */
void kinds_answer(char *reply, size_t size);
/* Overwrites the kind "plain", so that the next answer is an error. */
void kinds_change(void);
/* Makes memory executable, as a JIT compiler does. Returns 0, or -1 with errno. */
int kinds_make_executable(void);
/* Returns whether memory that is dropped reads as zeroes afterwards; its bytes are then restored.
 */
bool kinds_drop(void);
/* Returns whether what a new child writes to shared memory can be read here. */
bool kinds_share(void);

#endif
