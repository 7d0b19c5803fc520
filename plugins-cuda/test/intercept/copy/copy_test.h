// SPDX-License-Identifier: MIT
// For the tests of large copies, in addition to intercept_test.h.
#ifndef CCR_INTERCEPT_COPY_TEST_H
#define CCR_INTERCEPT_COPY_TEST_H

#include <string.h>

#include "test/intercept/intercept_test.h"

#define COPY_COMM "criu-cuda-copy"

/* Call before the first driver call: copies from 1 MiB, threads after 8 MiB, at most 4 threads. */
void copy_settings(void);
/* Returns 0, or 77 (skip) if the kernel lacks a feature that copying threads need. */
int copy_unsupported(void);
/* Number of copying threads of this process. */
int copy_threads(void);
/* Number of pinned buffers of these threads, according to /proc/self/smaps. */
int copy_buffers(void);
/* Waits until there are no copying threads: they are ending, or end after 5 s without work. */
void copy_threads_gone(void);
/* The same after they were told to end, which must be faster than without work. */
void copy_threads_told(void);
/* Evicts and attaches, which ends the threads. */
void copy_threads_release(void);

/* Bytes that depend on seed and offset, at any alignment. */
void pattern(char *at, size_t bytes, uint32_t seed);
bool has_pattern(const char *at, size_t bytes, uint32_t seed);

#endif
