// SPDX-License-Identifier: MIT
#include "intercept/core/thread.h"

#include <errno.h>

/* No program is known that has as much as this, which is of the address space only. */
#define MAX_STACK_BYTES ((size_t)64 << 20)

int ccr__thread_create(pthread_attr_t *attr, size_t stack_bytes, void *(*run)(void *),
		       void *argument)
{
	pthread_t thread;
	int ret;

	do {
		pthread_attr_setstacksize(attr, stack_bytes);
		ret = -pthread_create(&thread, attr, run, argument);
		stack_bytes *= 2;
	} while (ret == -EINVAL && stack_bytes <= MAX_STACK_BYTES);
	return ret;
}
