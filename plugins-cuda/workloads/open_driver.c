// SPDX-License-Identifier: MIT
#include "workloads/open_driver.h"

#include <dlfcn.h>
#include <stdlib.h>

CUresult open_driver(const struct driver_call *calls, size_t nr, const char **what)
{
	const char *path = getenv("CRIU_CUDA_DRIVER");
	void *handle = dlopen(path && *path ? path : "libcuda.so.1", RTLD_NOW);

	if (!handle) {
		*what = dlerror();
		return CUDA_ERROR_STUB_LIBRARY;
	}
	for (size_t i = 0; i < nr; i++) {
		*calls[i].slot = dlsym(handle, calls[i].name);
		*what = calls[i].name;
		if (!*calls[i].slot)
			return CUDA_ERROR_NOT_FOUND;
	}
	return CUDA_SUCCESS;
}
