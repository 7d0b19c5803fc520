// SPDX-License-Identifier: MIT
// Stream memory operations on 64-bit words: a stream writes one, or waits until it has a value. The
// word is in memory that the stream's device may access, which other processes may write, too.
#include "softcuda/impl.h"

#include <time.h>

#define WAIT_FLAGS (CU_STREAM_WAIT_VALUE_AND | CU_STREAM_WAIT_VALUE_EQ)

// Writes the word, or reads it into `now`.
static CUresult access_word(const struct ccr_op *op, uint64_t *now)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)(uintptr_t)op->word.addr;
	CUresult result = CUDA_SUCCESS;

	ccr_use_begin();
	if (!ccr_may_access(op->word.addr, 8, !now, op->stream->ctx->device))
		result = CUDA_ERROR_ILLEGAL_ADDRESS;
	else if (now)
		*now = atomic_load(word);
	else
		atomic_store(word, op->word.value);
	ccr_use_end();
	return result;
}

static CUresult run_write(struct ccr_op *op)
{
	return access_word(op, NULL);
}

static bool is_met(uint64_t now, uint64_t value, unsigned int condition)
{
	if (condition == CU_STREAM_WAIT_VALUE_EQ)
		return now == value;
	if (condition == CU_STREAM_WAIT_VALUE_AND)
		return now & value;
	return (int64_t)(now - value) >= 0;
}

static CUresult run_wait(struct ccr_op *op)
{
	const struct timespec pause = {0, 50000};

	for (;;) {
		uint64_t now;
		const CUresult result = access_word(op, &now);

		if (result != CUDA_SUCCESS || is_met(now, op->word.value, op->word.condition))
			return result;
		nanosleep(&pause, NULL);
	}
}

static CUresult submit(CUstream handle, CUdeviceptr addr, uint64_t value, unsigned int condition,
		       CUresult (*run)(struct ccr_op *op))
{
	struct ccr_stream *stream;
	CUresult result = ccr_stream_of(handle, &stream);
	struct ccr_op *op;

	if (result != CUDA_SUCCESS)
		return result;
	if (addr % 8 || !ccr_may_access(addr, 8, run == run_write, stream->ctx->device))
		return CUDA_ERROR_INVALID_VALUE;
	op = ccr_op_new(stream, run);
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->word.addr = addr;
	op->word.value = value;
	op->word.condition = condition;
	return ccr_queue_submit(op, false);
}

CUresult SOFT(cuStreamWriteValue64_v2)(CUstream stream, CUdeviceptr addr, cuuint64_t value,
				       unsigned int flags)
{
	return flags ? CUDA_ERROR_INVALID_VALUE : submit(stream, addr, value, 0, run_write);
}

CUresult SOFT(cuStreamWaitValue64_v2)(CUstream stream, CUdeviceptr addr, cuuint64_t value,
				      unsigned int flags)
{
	return flags & ~(unsigned int)WAIT_FLAGS || flags == WAIT_FLAGS
		       ? CUDA_ERROR_INVALID_VALUE
		       : submit(stream, addr, value, flags, run_wait);
}
