// SPDX-License-Identifier: MIT
/*
 * The one seam to libcuda: only driver.c opens it. Nothing here calls cuInit,
 * so opening costs a dlopen and no device is touched. The table is for the
 * checkpoint calls; driver_calls.h has those for programs that use a device.
 */
#ifndef CCR_DRIVER_H
#define CCR_DRIVER_H

#include <limits.h>
#include <stddef.h>

#include "common/driver/cuda_abi.h"
#include "common/driver/cuda_error.h"

/* First driver with cuCheckpointProcess*: r570, which says CUDA 12.8. */
#define CCR_DRIVER_MIN_VERSION 12080

struct ccr_driver {
	void *handle;
	char path[PATH_MAX]; /* the file that was opened */
	int version;	     /* as cuDriverGetVersion gives it: 1000 * major + 10 * minor */
	CUresult (*cuInit)(unsigned int flags);
	CUresult (*cuDriverGetVersion)(int *version);
	CUresult (*cuCheckpointProcessGetRestoreThreadId)(int pid, int *tid);
	CUresult (*cuCheckpointProcessGetState)(int pid, CUprocessState *state);
	CUresult (*cuCheckpointProcessLock)(int pid, CUcheckpointLockArgs *args);
	CUresult (*cuCheckpointProcessCheckpoint)(int pid, CUcheckpointCheckpointArgs *args);
	CUresult (*cuCheckpointProcessRestore)(int pid, CUcheckpointRestoreArgs *args);
	CUresult (*cuCheckpointProcessUnlock)(int pid, CUcheckpointUnlockArgs *args);
};

/*
 * Opens `path`, or when it is empty the first of libcuda.so.1 (as the loader
 * finds it) and the known driver roots. Returns 0; -ENOENT when there is no
 * driver; -ENOSYS when it has no checkpoint API. `error` then says which file
 * and what is needed. Not thread-safe; the driver stays open for good, since
 * libcuda does not survive dlclose.
 */
int ccr_driver_open(struct ccr_driver *driver, const char *path, char *error, size_t error_size);

#endif
