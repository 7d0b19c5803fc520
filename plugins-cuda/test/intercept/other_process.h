// SPDX-License-Identifier: MIT
/* Another process of a test: the same program with --serve, which reads requests and writes
 * answers. */
#ifndef CCR_INTERCEPT_OTHER_PROCESS_H
#define CCR_INTERCEPT_OTHER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct other_process {
	pid_t pid;
	int to, from; /* its stdin and stdout */
};

/* `is_plain`: without the interceptor. */
struct other_process other_process_start(const char *program, bool is_plain);
/* Waits until it has ended with this status. */
void other_process_end(struct other_process *process, int expected);

#endif
