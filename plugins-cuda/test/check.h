// SPDX-License-Identifier: MIT
/* For tests that report a failed check, count it and continue. */
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
