// SPDX-License-Identifier: MIT
/*
 * The operation's status file: what happened to each task, as one JSON object per
 * line. Its path is `<run dir>/op-<pid of criu>-<inode of its PID namespace>.jsonl`,
 * its mode 0600. CRIU ignores the result of its late restore hook, so a failed
 * device restore shows only in this file. A process that may still add to it holds
 * a shared lock (flock).
 */
#ifndef CCR_STATUS_H
#define CCR_STATUS_H

#include <stddef.h>
#include <sys/types.h>

struct ccr_status {
	int fd; /* -1: nothing is recorded */
};

/*
 * Creates the run directory (0700) and a new file, and reserves space for the
 * lines. Returns 0, or -errno with fd -1; logs why.
 */
int ccr_status_open(struct ccr_status *status, const char *run_dir, pid_t criu);
/* Returns the same without leaving a file: before a restore, which cannot be undone. */
int ccr_status_probe(const char *run_dir);
/*
 * Appends one line; `format` gives the JSON object without newline, and a field `at` is added: now,
 * in milliseconds of the monotonic clock. Logs a failed write and continues.
 */
void ccr_status_add(const struct ccr_status *status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * Appends a line about what was done for a process, in milliseconds of the monotonic clock. `part`
 * is who did it, `name` what; neither needs quotes in JSON.
 */
void ccr_status_span(const struct ccr_status *status, pid_t pid, const char *part, const char *name,
		     double start, double end);
/* Escapes `text` for the inside of a JSON string, cut to fit. Returns `out`. */
const char *ccr_status_quoted(char *out, size_t size, const char *text);
void ccr_status_close(struct ccr_status *status);

#endif
