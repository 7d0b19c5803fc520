// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_TEST_NO_WATCHER_H
#define CCR_TEST_NO_WATCHER_H

#include <stdbool.h>

/* What a watcher would have received. */
extern struct to_watcher {
	unsigned int messages, injected; /* injected: threads */
	bool is_stuck;			 /* it holds what it gets, and does not answer any more */
	int held;
} to_watcher;

#endif
