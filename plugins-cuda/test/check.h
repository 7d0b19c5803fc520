// SPDX-License-Identifier: MIT
/* For a test that goes on after what is wrong, and counts it. */
#ifndef CCR_TEST_CHECK_H
#define CCR_TEST_CHECK_H

#include <stdio.h>

static int failures;

#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			failures++;                                            \
		}                                                              \
	} while (0)

#endif
