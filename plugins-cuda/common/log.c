// SPDX-License-Identifier: MIT
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static ccr_log_sink current_sink;

void ccr_log_set_sink(ccr_log_sink sink)
{
	current_sink = sink;
}

void ccr_log(enum ccr_log_level level, const char *format, ...)
{
	const int saved_errno = errno;
	char line[1024];
	va_list args;

	if (!current_sink)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	current_sink(level, line);
	errno = saved_errno;
}
