// SPDX-License-Identifier: MIT
/* Threads of ours. */
#ifndef CCR_INTERCEPT_THREAD_H
#define CCR_INTERCEPT_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * Like pthread_create, with a stack of `stack_bytes`. The C library takes the
 * thread's copy of the program's static TLS out of the stack, and refuses a stack
 * that has no room for it; the stack is then larger. Returns 0 or -errno.
 */
int ccr__thread_create(pthread_attr_t *attr, size_t stack_bytes, void *(*run)(void *),
		       void *argument);

#endif
