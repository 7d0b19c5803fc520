// SPDX-License-Identifier: MIT
// Between nvml.c and nvml_processes.c.
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
 * Processes that have the device's file open, and the bytes each has claimed in it, from /proc.
 * Returns how many were found, at most CCR_NVML_MAX_PROCESSES. Sees what this user may see.
 */
size_t ccr_nvml_processes(int device, struct ccr_nvml_process *out);

#endif
