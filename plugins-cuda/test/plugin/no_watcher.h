// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_TEST_NO_WATCHER_H
#define CCR_TEST_NO_WATCHER_H

/* What a watcher would have received. */
extern struct to_watcher {
	unsigned int messages, injected; /* injected: threads */
} to_watcher;

#endif
