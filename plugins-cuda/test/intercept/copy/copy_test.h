// SPDX-License-Identifier: MIT
// For the tests of large copies: what they share beside intercept_test.h.
#ifndef CCR_INTERCEPT_COPY_TEST_H
#define CCR_INTERCEPT_COPY_TEST_H

#include <string.h>

#include "test/intercept/intercept_test.h"

#define COPY_COMM "criu-cuda-copy"

/* Before the first driver call: copies of 1 MiB and more, threads after 8 MiB, at most 4. */
void copy_settings(void);
/* 0, or the test cannot be: the kernel lacks what copying threads need (exit code 77). */
int copy_unsupported(void);
/* Copying threads of this process. */
int copy_threads(void);
/* Pinned buffers of such threads, by what the kernel says about mappings. */
int copy_buffers(void);
/* Until there are none; they are ending, or idle for five seconds. */
void copy_threads_gone(void);
/* The same when they were told to end, which is long before they would on their own. */
void copy_threads_told(void);
/* Memory goes out and comes back: the threads are gone. */
void copy_threads_release(void);

/* Pattern bytes that differ with seed and place, at any alignment. */
void pattern(char *at, size_t bytes, uint32_t seed);
bool has_pattern(const char *at, size_t bytes, uint32_t seed);

#endif
