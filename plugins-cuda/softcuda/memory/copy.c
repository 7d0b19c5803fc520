// SPDX-License-Identifier: MIT
// Copies and sets, each of which is an operation in a stream. CUDA's "API synchronization behavior"
// defines which calls wait for completion: pageable memory is never in use after the call.
#include "softcuda/impl.h"

#include <stdlib.h>
#include <string.h>

#define STAGE_LIMIT (64 * 1024)

static void *at(CUdeviceptr addr)
{
	return (void *)(uintptr_t)addr;
}

static CUresult run_copy(struct ccr_op *op)
{
	CUresult result = CUDA_ERROR_ILLEGAL_ADDRESS;

	ccr_use_begin();
	if (ccr_may_access(op->copy.dst, op->copy.bytes, true, -1) &&
	    (op->staged || ccr_may_access(op->copy.src, op->copy.bytes, false, -1))) {
		memmove(at(op->copy.dst), op->staged ? op->staged : at(op->copy.src),
			op->copy.bytes);
		result = CUDA_SUCCESS;
	}
	ccr_use_end();
	return result;
}

// Where a range is; it is pinned only if all of it is.
static enum ccr_place place_of_range(CUdeviceptr addr, size_t bytes)
{
	enum ccr_place place = ccr_place_of(addr);

	if (place == CCR_PLACE_PINNED && !ccr_may_access(addr, bytes, false, 0))
		return CCR_PLACE_PAGEABLE;
	return place;
}

static CUresult submit_copy(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream handle,
			    bool is_async)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);
	enum ccr_place from, to;
	struct ccr_op *op;
	bool wait = false;

	if (result != CUDA_SUCCESS || !bytes)
		return result;
	if (!ccr_may_access(dst, bytes, true, -1) || !ccr_may_access(src, bytes, false, -1))
		return CUDA_ERROR_INVALID_VALUE;
	from = place_of_range(src, bytes);
	to = place_of_range(dst, bytes);
	op = ccr_op_new(stream, run_copy);
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->copy.dst = dst;
	op->copy.src = src;
	op->copy.bytes = bytes;
	if (to == CCR_PLACE_PAGEABLE || (to != CCR_PLACE_DEVICE && from != CCR_PLACE_DEVICE))
		wait = true;
	else if (from == CCR_PLACE_PAGEABLE && bytes <= STAGE_LIMIT)
		op->staged = malloc(bytes);
	else if (from == CCR_PLACE_PAGEABLE)
		wait = true;
	if (op->staged)
		memcpy(op->staged, at(src), bytes);
	else
		wait |= from == CCR_PLACE_PAGEABLE;
	// A synchronous copy waits, except between devices.
	if (!is_async && (from != CCR_PLACE_DEVICE || to != CCR_PLACE_DEVICE))
		wait = true;
	return ccr_queue_submit(op, wait);
}

static bool is_device_side(CUdeviceptr addr)
{
	return ccr_place_of(addr) != CCR_PLACE_PAGEABLE;
}

static CUresult copy_to_device(CUdeviceptr dst, const void *src, size_t bytes, CUstream stream,
			       bool is_async)
{
	if (bytes && (!src || !is_device_side(dst)))
		return CUDA_ERROR_INVALID_VALUE;
	return submit_copy(dst, (CUdeviceptr)(uintptr_t)src, bytes, stream, is_async);
}

static CUresult copy_to_host(void *dst, CUdeviceptr src, size_t bytes, CUstream stream,
			     bool is_async)
{
	if (bytes && (!dst || !is_device_side(src)))
		return CUDA_ERROR_INVALID_VALUE;
	return submit_copy((CUdeviceptr)(uintptr_t)dst, src, bytes, stream, is_async);
}

static CUresult copy_on_device(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream,
			       bool is_async)
{
	if (bytes && (!is_device_side(dst) || !is_device_side(src)))
		return CUDA_ERROR_INVALID_VALUE;
	return submit_copy(dst, src, bytes, stream, is_async);
}

CUresult SOFT(cuMemcpy)(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
	return submit_copy(dst, src, bytes, NULL, false);
}

CUresult SOFT(cuMemcpyAsync)(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
	return submit_copy(dst, src, bytes, stream, true);
}

CUresult SOFT(cuMemcpyHtoD_v2)(CUdeviceptr dst, const void *src, size_t bytes)
{
	return copy_to_device(dst, src, bytes, NULL, false);
}

CUresult SOFT(cuMemcpyHtoDAsync_v2)(CUdeviceptr dst, const void *src, size_t bytes, CUstream stream)
{
	return copy_to_device(dst, src, bytes, stream, true);
}

CUresult SOFT(cuMemcpyDtoH_v2)(void *dst, CUdeviceptr src, size_t bytes)
{
	return copy_to_host(dst, src, bytes, NULL, false);
}

CUresult SOFT(cuMemcpyDtoHAsync_v2)(void *dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
	return copy_to_host(dst, src, bytes, stream, true);
}

CUresult SOFT(cuMemcpyDtoD_v2)(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
	return copy_on_device(dst, src, bytes, NULL, false);
}

CUresult SOFT(cuMemcpyDtoDAsync_v2)(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
	return copy_on_device(dst, src, bytes, stream, true);
}

static bool are_contexts(CUcontext a, CUcontext b)
{
	return ccr_handle_of(CCR_HANDLE_CTX, a) && ccr_handle_of(CCR_HANDLE_CTX, b);
}

CUresult SOFT(cuMemcpyPeer)(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
			    size_t bytes)
{
	if (!are_contexts(dst_ctx, src_ctx))
		return CUDA_ERROR_INVALID_CONTEXT;
	return copy_on_device(dst, src, bytes, NULL, false);
}

CUresult SOFT(cuMemcpyPeerAsync)(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src,
				 CUcontext src_ctx, size_t bytes, CUstream stream)
{
	if (!are_contexts(dst_ctx, src_ctx))
		return CUDA_ERROR_INVALID_CONTEXT;
	return copy_on_device(dst, src, bytes, stream, true);
}

static CUresult run_set(struct ccr_op *op)
{
	uint64_t bytes = op->set.count * op->set.width;
	CUresult result = CUDA_ERROR_ILLEGAL_ADDRESS;

	ccr_use_begin();
	if (ccr_may_access(op->set.dst, bytes, true, -1)) {
		if (op->set.width == 1)
			memset(at(op->set.dst), (int)op->set.value, bytes);
		for (uint64_t i = 0; op->set.width == 2 && i < op->set.count; i++)
			((uint16_t *)at(op->set.dst))[i] = (uint16_t)op->set.value;
		for (uint64_t i = 0; op->set.width == 4 && i < op->set.count; i++)
			((uint32_t *)at(op->set.dst))[i] = op->set.value;
		result = CUDA_SUCCESS;
	}
	ccr_use_end();
	return result;
}

static CUresult submit_set(CUdeviceptr dst, uint32_t value, unsigned int width, size_t count,
			   CUstream handle, bool is_async)
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);
	struct ccr_op *op;

	if (result != CUDA_SUCCESS || !count)
		return result;
	if (dst % width || count > SIZE_MAX / width || !is_device_side(dst) ||
	    !ccr_may_access(dst, count * width, true, -1))
		return CUDA_ERROR_INVALID_VALUE;
	op = ccr_op_new(stream, run_set);
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->set.dst = dst;
	op->set.count = count;
	op->set.value = value;
	op->set.width = width;
	return ccr_queue_submit(op, !is_async && ccr_place_of(dst) == CCR_PLACE_PINNED);
}

CUresult SOFT(cuMemsetD8_v2)(CUdeviceptr dst, unsigned char value, size_t count)
{
	return submit_set(dst, value, 1, count, NULL, false);
}

CUresult SOFT(cuMemsetD16_v2)(CUdeviceptr dst, unsigned short value, size_t count)
{
	return submit_set(dst, value, 2, count, NULL, false);
}

CUresult SOFT(cuMemsetD32_v2)(CUdeviceptr dst, unsigned int value, size_t count)
{
	return submit_set(dst, value, 4, count, NULL, false);
}

CUresult SOFT(cuMemsetD8Async)(CUdeviceptr dst, unsigned char value, size_t count, CUstream stream)
{
	return submit_set(dst, value, 1, count, stream, true);
}

CUresult SOFT(cuMemsetD16Async)(CUdeviceptr dst, unsigned short value, size_t count,
				CUstream stream)
{
	return submit_set(dst, value, 2, count, stream, true);
}

CUresult SOFT(cuMemsetD32Async)(CUdeviceptr dst, unsigned int value, size_t count, CUstream stream)
{
	return submit_set(dst, value, 4, count, stream, true);
}
