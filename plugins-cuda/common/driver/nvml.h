// SPDX-License-Identifier: MIT
/*
 * NVML, for one question: which processes use how much memory of which GPU? NVML
 * needs no context and does not initialize CUDA. The layouts are NVML's ABI.
 */
#ifndef CCR_NVML_H
#define CCR_NVML_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One process on one GPU. */
struct ccr_gpu_use {
	pid_t pid; /* as NVML sees it: in the machine's first PID namespace */
	unsigned int device;
	uint64_t bytes; /* 0: not known */
};

/*
 * Lists all uses of all GPUs; `driver` is the path of libcuda, next to which NVML
 * is looked for first. Returns 0 with a list to free(), or -errno and an empty
 * list: -ENOENT without NVML, -EIO when it fails. Only one thread may call this.
 */
int ccr_nvml_list(const char *driver, struct ccr_gpu_use **uses, size_t *count);

#endif
