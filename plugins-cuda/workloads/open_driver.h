// SPDX-License-Identifier: MIT
#ifndef CCR_WORKLOADS_OPEN_DRIVER_H
#define CCR_WORKLOADS_OPEN_DRIVER_H

#include <stddef.h>

#include "common/driver/cuda_abi.h"

/* A function of the driver, and where its address goes. */
struct driver_call {
	const char *name;
	void **slot;
};

/*
 * Loads the driver, which CRIU_CUDA_DRIVER may name, for a program that looks its functions
 * up by itself. Returns CUDA_SUCCESS, or why not with what is missing in `*what`.
 */
CUresult open_driver(const struct driver_call *calls, size_t nr, const char **what);

#endif
