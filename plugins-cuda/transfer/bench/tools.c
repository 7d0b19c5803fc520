// SPDX-License-Identifier: MIT
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "transfer/bench/bench.h"

void bench_die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "ccr-transfer-bench: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

void bench_cuda(CUresult result, const char *call)
{
	if (result != CUDA_SUCCESS)
		bench_die("%s: %s", call, ccr_cuda_error_name(result));
}

double bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}
