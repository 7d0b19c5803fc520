// SPDX-License-Identifier: MIT
#ifndef CCR_SYSLOG_H
#define CCR_SYSLOG_H

/*
 * Sends an error to the system's log, as `criu-cuda[PID]`, for people who do not read the log of
 * each run. Never waits, and does nothing where there is no log. Unlike syslog(3), it leaves no
 * descriptor open, which matters in criu.
 */
void ccr_syslog(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
