// SPDX-License-Identifier: MIT
/*
 * One logging interface for all artifacts. Each program sets its own sink once at
 * the start (CRIU's log for the plugin, stderr otherwise); without a sink nothing
 * is printed. Any thread may log if the sink allows it.
 */
#ifndef CCR_LOG_H
#define CCR_LOG_H

enum ccr_log_level { CCR_LOG_ERROR = 1, CCR_LOG_WARN = 2, CCR_LOG_INFO = 3, CCR_LOG_DEBUG = 4 };

/* `line` has no newline and no prefix. */
typedef void (*ccr_log_sink)(enum ccr_log_level level, const char *line);

void ccr_log_set_sink(ccr_log_sink sink);
void ccr_log(enum ccr_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define ccr_err(...)   ccr_log(CCR_LOG_ERROR, __VA_ARGS__)
#define ccr_warn(...)  ccr_log(CCR_LOG_WARN, __VA_ARGS__)
#define ccr_info(...)  ccr_log(CCR_LOG_INFO, __VA_ARGS__)
#define ccr_debug(...) ccr_log(CCR_LOG_DEBUG, __VA_ARGS__)

#endif
