// SPDX-License-Identifier: MIT
/* One copy, as all files of this folder describe it. */
#ifndef CCR_INTERCEPT_COPY_H
#define CCR_INTERCEPT_COPY_H

#include <stdbool.h>
#include <stddef.h>

#include "intercept/core/real.h"

/* `device` and `host` both have `bytes` bytes. */
struct ccr__copy {
	CUdeviceptr device;
	char *host;
	size_t bytes;
	bool to_device;
};

#endif
