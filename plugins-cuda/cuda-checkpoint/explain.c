// SPDX-License-Identifier: MIT
/* Looks at /proc only after a call has failed: the driver's answer comes first. */
#include "cuda-checkpoint/explain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "common/process.h"

/* The kernel's own rule for who may read another process's memory. */
static bool may_look_at(int pid)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno != EACCES && errno != EPERM;
	close(fd);
	return true;
}

static const char *meaning(CUresult result)
{
	switch (result) {
	case CUDA_ERROR_NOT_INITIALIZED:
		return "it does not use CUDA: it has not called cuInit";
	case CUDA_ERROR_INVALID_VALUE:
	case CUDA_ERROR_INVALID_DEVICE:
		return "it does not use CUDA, or the device map does not name every GPU of the "
		       "process, or names a GPU that is not there or of another type";
	case CUDA_ERROR_NOT_READY:
		return "its GPU work did not end in time; raise --timeout, or wait for a long "
		       "kernel to end";
	case CUDA_ERROR_ILLEGAL_STATE:
		return "the order is lock, checkpoint, restore, unlock; see --get-state";
	case CUDA_ERROR_OUT_OF_MEMORY:
		return "the GPU, or the host, has not enough free memory for what was saved";
	case CUDA_ERROR_NOT_SUPPORTED:
		return "it holds something that this driver cannot checkpoint, such as memory of "
		       "another process";
	default:
		return "criu-cuda doctor shows what this machine lacks";
	}
}

const char *explain(int pid, CUresult result)
{
	if (ccr_is_dying(pid))
		return "there is no such process, or it has ended";
	if (!may_look_at(pid))
		return "permission denied: run as the user of the process, or with CAP_SYS_PTRACE";
	return meaning(result);
}
