// SPDX-License-Identifier: MIT
/*
 * The operation's status file: what happened to each task, one JSON object a
 * line, in `<run dir>/op-<pid of criu>-<inode of its PID namespace>.jsonl`,
 * 0600. CRIU ignores the error of its late restore hook; this file is where a
 * failed device restore shows. Whoever may still add to it holds a shared lock
 * (flock).
 */
#ifndef CCR_STATUS_H
#define CCR_STATUS_H

#include <stddef.h>
#include <sys/types.h>

struct ccr_status {
	int fd; /* -1: nothing is recorded */
};

/* Creates the run directory (0700) and a fresh file; 0 or -errno, with fd -1. Logs why. */
int ccr_status_open(struct ccr_status *status, const char *run_dir, pid_t criu);
/* Appends one line; `format` gives the JSON object without newline. A failed write is logged, not
 * fatal. */
void ccr_status_add(const struct ccr_status *status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* `text` as it may stand between the quotes of a JSON string, cut to fit; returns `out`. */
const char *ccr_status_quoted(char *out, size_t size, const char *text);
void ccr_status_close(struct ccr_status *status);

#endif
