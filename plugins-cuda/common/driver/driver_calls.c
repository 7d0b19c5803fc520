// SPDX-License-Identifier: MIT
#include "common/driver/driver_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int ccr_cuda_load(struct ccr_cuda *cuda, const struct ccr_driver *driver, char *error,
		  size_t error_size)
{
	static const struct {
		const char *name;
		size_t offset;
	} calls[] = {
#define CALL(name) {#name, offsetof(struct ccr_cuda, name)},
		CCR_CUDA_CALLS(CALL)
#undef CALL
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		void *function = dlsym(driver->handle, calls[i].name);

		if (!function) {
			snprintf(error, error_size, "%s has no %s (driver API %d)", driver->path,
				 calls[i].name, driver->version);
			return -ENOSYS;
		}
		memcpy((char *)cuda + calls[i].offset, &function, sizeof(function));
	}
	return 0;
}
