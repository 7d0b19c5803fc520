// SPDX-License-Identifier: MIT
/*
 * The only access to libcuda: only driver.c opens it. Nothing here calls cuInit,
 * so opening costs a dlopen and touches no device. The table has the checkpoint
 * calls; driver_calls.h has those for programs that use a device.
 */
#ifndef CCR_DRIVER_H
#define CCR_DRIVER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/driver/cuda_abi.h"
#include "common/driver/cuda_error.h"

/* The first driver with cuCheckpointProcess*: r570, which reports CUDA 12.8. */
#define CCR_DRIVER_MIN_VERSION 12080
/* The first driver with custom storage: r615, which reports CUDA 13.4. */
#define CCR_DRIVER_STORAGE_VERSION 13040

struct ccr_driver {
	void *handle;
	char path[PATH_MAX]; /* the file that was opened */
	int version;	     /* as cuDriverGetVersion returns it: 1000 * major + 10 * minor */
	CUresult (*cuInit)(unsigned int flags);
	CUresult (*cuDriverGetVersion)(int *version);
	CUresult (*cuCheckpointProcessGetRestoreThreadId)(int pid, int *tid);
	CUresult (*cuCheckpointProcessGetState)(int pid, CUprocessState *state);
	CUresult (*cuCheckpointProcessLock)(int pid, CUcheckpointLockArgs *args);
	CUresult (*cuCheckpointProcessCheckpoint)(int pid, CUcheckpointCheckpointArgs *args);
	CUresult (*cuCheckpointProcessRestore)(int pid, CUcheckpointRestoreArgs *args);
	CUresult (*cuCheckpointProcessUnlock)(int pid, CUcheckpointUnlockArgs *args);
	/* NULL: the driver has no custom storage (ccr_driver_has_storage) */
	CUresult (*cuCheckpointOperationComplete)(CUcheckpointOperationHandle handle);
};

/*
 * Opens `path`; if it is empty, the first of libcuda.so.1 (as the loader finds it)
 * and the known driver roots. Returns 0; -ENOENT when there is no driver; -ENOSYS
 * when it has no checkpoint API. `error` then names the file and what is needed.
 * Only one thread may call this. The driver is never closed, because libcuda does
 * not survive dlclose.
 */
int ccr_driver_open(struct ccr_driver *driver, const char *path, char *error, size_t error_size);

/*
 * Whether a Checkpoint can map the memory of the process into its caller ("custom storage"), so
 * that it needs no copy in host memory: what an open driver has from r615 on.
 */
static inline bool ccr_driver_has_storage(const struct ccr_driver *driver)
{
	return driver->cuCheckpointOperationComplete;
}

#endif
