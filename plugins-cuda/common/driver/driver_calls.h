// SPDX-License-Identifier: MIT
/*
 * The driver calls that work on devices, in addition to the checkpoint calls of
 * driver.h: for the programs that move device memory. The table is declared and
 * filled from one list. Every driver with the checkpoint calls has all of them.
 */
#ifndef CCR_DRIVER_CALLS_H
#define CCR_DRIVER_CALLS_H

#include <stddef.h>

#include "common/driver/cuda_abi.h"
#include "common/driver/driver.h"

#define CCR_CUDA_CALLS(X)                 \
	X(cuInit)                         \
	X(cuDeviceGetCount)               \
	X(cuDeviceGet)                    \
	X(cuDeviceGetName)                \
	X(cuDeviceGetUuid_v2)             \
	X(cuDevicePrimaryCtxRetain)       \
	X(cuDevicePrimaryCtxRelease_v2)   \
	X(cuCtxSetCurrent)                \
	X(cuCtxSynchronize)               \
	X(cuCtxGetDevice)                 \
	X(cuMemGetInfo_v2)                \
	X(cuMemAlloc_v2)                  \
	X(cuMemFree_v2)                   \
	X(cuMemAddressReserve)            \
	X(cuMemAddressFree)               \
	X(cuMemCreate)                    \
	X(cuMemRelease)                   \
	X(cuMemMap)                       \
	X(cuMemUnmap)                     \
	X(cuMemSetAccess)                 \
	X(cuMemExportToShareableHandle)   \
	X(cuMemImportFromShareableHandle) \
	X(cuMemHostRegister_v2)           \
	X(cuMemHostUnregister)            \
	X(cuMemcpyHtoD_v2)                \
	X(cuMemcpyDtoH_v2)                \
	X(cuMemcpyDtoD_v2)                \
	X(cuMemcpyHtoDAsync_v2)           \
	X(cuMemcpyDtoHAsync_v2)           \
	X(cuMemcpyDtoDAsync_v2)           \
	X(cuMemsetD8_v2)                  \
	X(cuMemsetD32_v2)                 \
	X(cuMemsetD8Async)                \
	X(cuStreamCreate)                 \
	X(cuStreamDestroy_v2)             \
	X(cuStreamSynchronize)            \
	X(cuStreamGetCtx)                 \
	X(cuEventCreate)                  \
	X(cuEventRecord)                  \
	X(cuEventSynchronize)             \
	X(cuEventDestroy_v2)              \
	X(cuMemHostGetDevicePointer_v2)   \
	X(cuModuleLoadData)               \
	X(cuModuleUnload)                 \
	X(cuModuleGetFunction)            \
	X(cuLaunchKernel)

struct ccr_cuda {
#define CCR_CUDA_MEMBER(name) typeof(name) *name;
	CCR_CUDA_CALLS(CCR_CUDA_MEMBER)
#undef CCR_CUDA_MEMBER
};

/*
 * Fills `cuda` from an open driver without calling it. Returns 0, or -ENOSYS with
 * one sentence in `error` that names the file and the missing call.
 */
int ccr_cuda_load(struct ccr_cuda *cuda, const struct ccr_driver *driver, char *error,
		  size_t error_size);

#endif
