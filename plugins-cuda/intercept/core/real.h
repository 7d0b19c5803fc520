// SPDX-License-Identifier: MIT
// The driver's own functions, for the wrappers and our threads; never a stub. All of them come from
// one image, the one whose function was asked for first. NULL: the driver does not have the call.
#ifndef CCR_INTERCEPT_REAL_H
#define CCR_INTERCEPT_REAL_H

#include "intercept/core/elf.h"
#include "intercept/core/extra_abi.h"
#include "intercept/core/wrap_list.h"

// Calls that we use but do not wrap.
#define CCR_PLAIN_CALLS(P)               \
	P(cuDeviceGetCount)              \
	P(cuDeviceGetAttribute)          \
	P(cuDeviceGetUuid_v2)            \
	P(cuDevicePrimaryCtxGetState)    \
	P(cuCtxGetCurrent)               \
	P(cuCtxGetDevice)                \
	P(cuCtxPushCurrent_v2)           \
	P(cuCtxPopCurrent_v2)            \
	P(cuCtxSynchronize)              \
	P(cuMemGetInfo_v2)               \
	P(cuMemAddressReserve)           \
	P(cuMemAddressFree)              \
	P(cuMemGetAllocationGranularity) \
	P(cuMemHostUnregister)           \
	P(cuMemHostGetDevicePointer_v2)  \
	P(cuMemcpyDtoDAsync_v2)          \
	P(cuStreamCreate)                \
	P(cuStreamGetCtx)                \
	P(cuStreamSynchronize)           \
	P(cuStreamIsCapturing)           \
	P(cuStreamWriteValue64_v2)       \
	P(cuStreamWaitValue64_v2)        \
	P(cuThreadExchangeStreamCaptureMode)

struct ccr__real {
#define MEMBER(name, ...) __typeof__(name) *name;
	CCR_WRAPPERS(MEMBER)
	CCR_PLAIN_CALLS(MEMBER)
#undef MEMBER
	struct ccr__image image;
};

extern struct ccr__real ccr__real;

// Fills the table from the driver that contains `function`, once. The caller serializes the calls.
void ccr__real_load(const void *function);
// Returns a function of that driver, or of the next library that has it; NULL when none has it.
void *ccr__real_find(const char *name);

#endif
