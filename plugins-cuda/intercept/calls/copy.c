// SPDX-License-Identifier: MIT
/*
 * The copies that may be ours, and the check whether one is. One side must be
 * pageable host memory, the other memory of the current context's device, and no
 * stream may be capturing; the driver makes all other copies.
 */
#include "intercept/calls/calls.h"

#include <errno.h>
#include <pthread.h>

#include "intercept/copy/threads.h"

/* --- kinds of addresses --- */

static bool is_pageable(CUdeviceptr address)
{
	unsigned int type = 0;
	const CUresult result =
		ccr__real.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address);

	return result == CUDA_ERROR_INVALID_VALUE || (result == CUDA_SUCCESS && !type);
}

static bool is_on(CUdeviceptr address, CUdevice device)
{
	unsigned int type = 0, is_managed = 0;
	int ordinal = -1;
	CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
					    CU_POINTER_ATTRIBUTE_IS_MANAGED,
					    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
	void *data[] = {&type, &is_managed, &ordinal};

	return ccr__real.cuPointerGetAttributes(3, attributes, data, address) == CUDA_SUCCESS &&
	       type == CU_MEMORYTYPE_DEVICE && !is_managed && ordinal == device;
}

static bool has_own_context(CUstream stream)
{
	return stream != CU_STREAM_LEGACY && stream != CU_STREAM_PER_THREAD;
}

static bool is_ours(const struct ccr__copy *copy, CUstream stream, CUcontext *ctx, CUdevice *device)
{
	const CUdeviceptr host = (CUdeviceptr)(uintptr_t)copy->host;
	CUcontext of_stream;

	/* First, because this excludes large copies of pinned memory. */
	if (!is_pageable(host) || !is_pageable(host + copy->bytes - 1))
		return false;
	if (ccr__real.cuCtxGetCurrent(ctx) != CUDA_SUCCESS || !*ctx ||
	    ccr__real.cuCtxGetDevice(device) != CUDA_SUCCESS)
		return false;
	if (has_own_context(stream) &&
	    (ccr__real.cuStreamGetCtx(stream, &of_stream) != CUDA_SUCCESS || of_stream != *ctx))
		return false;
	return is_on(copy->device, *device) && is_on(copy->device + copy->bytes - 1, *device);
}

/* --- the copy --- */

/*
 * Waits with an event: on the legacy stream, only a record is ordered after the
 * work of other streams.
 */
static bool wait_for_stream(CUstream stream)
{
	CUresult result;
	CUevent event;

	if (ccr__real.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING) != CUDA_SUCCESS)
		return false;
	result = ccr__real.cuEventRecord(event, stream);
	if (result == CUDA_SUCCESS)
		result = ccr__real.cuEventSynchronize(event);
	ccr__real.cuEventDestroy_v2(event);
	return result == CUDA_SUCCESS;
}

static bool do_copy(const struct ccr__copy *copy, CUstream stream)
{
	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
	const int saved_errno = errno;
	bool is_done, has_mode;
	int cancel;
	CUcontext ctx;
	CUdevice device;

	if (!is_ours(copy, stream, &ctx, &device))
		return false;
	/* Our waiting must not end a capture that begins now. A thread must not be canceled while
	 * it has our locks. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	has_mode = ccr__real.cuThreadExchangeStreamCaptureMode &&
		   ccr__real.cuThreadExchangeStreamCaptureMode(&mode) == CUDA_SUCCESS;
	is_done = wait_for_stream(stream) && ccr__copy_by_threads(ctx, device, copy);
	if (has_mode)
		ccr__real.cuThreadExchangeStreamCaptureMode(&mode);
	pthread_setcancelstate(cancel, NULL);
	errno = saved_errno;
	return is_done;
}

/* During a capture we must not even ask the driver about the addresses. */
static inline bool may_be_ours(size_t bytes)
{
	return bytes >= __atomic_load_n(&ccr__copy_min, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&ccr__nr_captures, __ATOMIC_SEQ_CST);
}

static bool to_device(CUdeviceptr dst, const void *src, size_t bytes, CUstream stream)
{
	const struct ccr__copy copy = {dst, (char *)(uintptr_t)src, bytes, true};

	return do_copy(&copy, stream);
}

static bool to_host(void *dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
	const struct ccr__copy copy = {src, dst, bytes, false};

	return do_copy(&copy, stream);
}

/* The addresses tell which side is host memory. */
static bool either(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
	if (is_pageable(src))
		return to_device(dst, (const void *)(uintptr_t)src, bytes, stream);
	return to_host((void *)(uintptr_t)dst, src, bytes, stream);
}

/* --- wrappers; a stream argument of 0 means what the entry point says it means --- */

static CUstream legacy(CUstream stream)
{
	return stream ? stream : CU_STREAM_LEGACY;
}

static CUstream per_thread(CUstream stream)
{
	return stream ? stream : CU_STREAM_PER_THREAD;
}

#define SYNCHRONOUS(name, dst_type, src_type, attempt, stream)                    \
	CUresult ccr__wrap_##name(dst_type dst, src_type src, size_t bytes)       \
	{                                                                         \
		if (may_be_ours(bytes) && attempt(dst, src, bytes, stream(NULL))) \
			return CUDA_SUCCESS;                                      \
		return ccr__real.name(dst, src, bytes);                           \
	}

#define ASYNCHRONOUS(name, dst_type, src_type, attempt, stream)                              \
	CUresult ccr__wrap_##name(dst_type dst, src_type src, size_t bytes, CUstream handle) \
	{                                                                                    \
		if (may_be_ours(bytes) && attempt(dst, src, bytes, stream(handle)))          \
			return CUDA_SUCCESS;                                                 \
		return ccr__real.name(dst, src, bytes, handle);                              \
	}

SYNCHRONOUS(cuMemcpyHtoD_v2, CUdeviceptr, const void *, to_device, legacy)
SYNCHRONOUS(cuMemcpyHtoD_v2_ptds, CUdeviceptr, const void *, to_device, per_thread)
SYNCHRONOUS(cuMemcpyDtoH_v2, void *, CUdeviceptr, to_host, legacy)
SYNCHRONOUS(cuMemcpyDtoH_v2_ptds, void *, CUdeviceptr, to_host, per_thread)
SYNCHRONOUS(cuMemcpy, CUdeviceptr, CUdeviceptr, either, legacy)
SYNCHRONOUS(cuMemcpy_ptds, CUdeviceptr, CUdeviceptr, either, per_thread)
ASYNCHRONOUS(cuMemcpyHtoDAsync_v2, CUdeviceptr, const void *, to_device, legacy)
ASYNCHRONOUS(cuMemcpyHtoDAsync_v2_ptsz, CUdeviceptr, const void *, to_device, per_thread)
ASYNCHRONOUS(cuMemcpyDtoHAsync_v2, void *, CUdeviceptr, to_host, legacy)
ASYNCHRONOUS(cuMemcpyDtoHAsync_v2_ptsz, void *, CUdeviceptr, to_host, per_thread)
ASYNCHRONOUS(cuMemcpyAsync, CUdeviceptr, CUdeviceptr, either, legacy)
ASYNCHRONOUS(cuMemcpyAsync_ptsz, CUdeviceptr, CUdeviceptr, either, per_thread)
