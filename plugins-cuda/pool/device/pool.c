// SPDX-License-Identifier: MIT
#include "pool/device/pool.h"

#include <time.h>

struct pool pool;

double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}
