// SPDX-License-Identifier: MIT
// Internal header of the software NVML.
#ifndef CCR_SOFTCUDA_NVML_H
#define CCR_SOFTCUDA_NVML_H

#include <stddef.h>
#include <stdint.h>

#define CCR_NVML_MAX_PROCESSES 256

struct ccr_nvml_process {
	int pid;
	uint64_t bytes;
};

/*
 * Finds the processes that have the device's file open, and the bytes that each
 * has claimed, in /proc. Returns their number, at most CCR_NVML_MAX_PROCESSES.
 * Finds only processes that this user may inspect.
 */
size_t ccr_nvml_processes(int device, struct ccr_nvml_process *out);

#endif
