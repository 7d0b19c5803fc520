// SPDX-License-Identifier: MIT
/* Asks the keeper of another process for a descriptor. Any thread may call. */
#ifndef CCR_INTERCEPT_FETCH_H
#define CCR_INTERCEPT_FETCH_H

#include <sys/types.h>

struct ccr__token;

/*
 * Returns a new descriptor, which ccr__keep_publish made known under this token in process `pid`
 * (of this pid namespace). -ENOENT: there is no such process, it may not be asked, or it does not
 * know the token; or another -errno. Waits for 10 s at most.
 */
int ccr__keep_fetch(pid_t pid, const struct ccr__token *token);

#endif
