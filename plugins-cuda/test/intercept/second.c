// SPDX-License-Identifier: MIT
// A second library for lookup.c, because the result of dlsym depends on the caller.
#include <dlfcn.h>

#include "common/driver/cuda_abi.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT void *second_next(const char *name);
EXPORT void *second_default(const char *name);
EXPORT CUresult second_plt(int *count);

/* volatile prevents tail calls, which would hide the caller. */
void *second_next(const char *name)
{
	void *volatile found = dlsym(RTLD_NEXT, name);

	return found;
}

void *second_default(const char *name)
{
	void *volatile found = dlsym(RTLD_DEFAULT, name);

	return found;
}

CUresult second_plt(int *count)
{
	return cuDeviceGetCount(count);
}
