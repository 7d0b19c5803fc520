// SPDX-License-Identifier: MIT
/* See core.h. Prints only what CRIU_CUDA_INTERCEPT_DEBUG allows, and never ends the process. */
#include "intercept/core/core.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ccr__core ccr__core;

static long debug_level;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void ccr__core_report(const char *line)
{
	char text[1200];
	int length;

	length = snprintf(text, sizeof(text), "criu-cuda-intercept[%d]: %s\n", getpid(), line);
	if (length >= (int)sizeof(text))
		length = sizeof(text) - 1;
	/* One write for each line, so that threads do not mix theirs. */
	if (length > 0)
		(void)!write(STDERR_FILENO, text, length);
}

static void write_line(enum ccr_log_level level, const char *line)
{
	if ((long)level <= debug_level)
		ccr__core_report(line);
}

static void read_settings(void)
{
	struct ccr_settings settings;
	char error[512];
	const char *debug = getenv("CRIU_CUDA_INTERCEPT_DEBUG");

	ccr_log_set_sink(write_line);
	/* Set first, so that errors below are printed; ccr_settings_load checks the value. */
	debug_level = debug ? strtol(debug, NULL, 10) : 0;
	if (ccr_settings_load(&settings, NULL, error, sizeof(error))) {
		ccr_err("%s; device memory is left to the driver", error);
		return;
	}
	debug_level = settings.intercept_debug;
	ccr__core.has_memory = settings.intercept & CCR_INTERCEPT_MEMORY;
	ccr__core.has_copies = settings.intercept & CCR_INTERCEPT_MEMCPY;
	ccr__core.has_gate = settings.intercept;
	ccr__core.copy_min = (size_t)settings.memcpy_min_mb << 20;
	ccr__core.copy_threads = settings.streams;
}

void ccr__core_init(void)
{
	pthread_once(&once, read_settings);
}
