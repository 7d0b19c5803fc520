// SPDX-License-Identifier: MIT
#ifndef CCR_TEST_ELAPSED_H
#define CCR_TEST_ELAPSED_H

#include <time.h>

/* Milliseconds since a reading of CLOCK_MONOTONIC. */
static inline double ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) * 1e3 +
	       (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

#endif
