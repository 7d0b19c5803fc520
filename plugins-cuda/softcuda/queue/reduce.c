// SPDX-License-Identifier: MIT
// The kernel of common/rank_kernel.h on the CPU. Like a kernel on a GPU, it waits in its stream for
// processes that share its memory, so the stream does not drain before they have done their part.
#include "softcuda/queue/reduce.h"
#include "common/kernels.h"
#include "common/rank_kernel.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define MAX_RANKS 64

struct step {
	struct ccr_all_reduce_params p;
	uint64_t *buffers[MAX_RANKS];
};

static CUresult check(struct step *s, int device)
{
	const uint64_t bytes = CCR_RANK_HEADER_BYTES + s->p.nr_words * 8;
	const uint64_t *table = (const uint64_t *)(uintptr_t)s->p.buffers;

	if (!s->p.nr_ranks || s->p.nr_ranks > MAX_RANKS || s->p.rank >= s->p.nr_ranks ||
	    s->p.nr_words > UINT32_MAX)
		return CUDA_ERROR_LAUNCH_FAILED;
	if ((s->p.buffers | s->p.acc) % 8)
		return CUDA_ERROR_MISALIGNED_ADDRESS;
	if (!ccr_may_access(s->p.buffers, s->p.nr_ranks * 8, false, device) ||
	    !ccr_may_access(s->p.acc, 8, true, device))
		return CUDA_ERROR_ILLEGAL_ADDRESS;
	for (uint64_t i = 0; i < s->p.nr_ranks; i++) {
		if (table[i] % CCR_RANK_HEADER_BYTES)
			return CUDA_ERROR_MISALIGNED_ADDRESS;
		if (!ccr_may_access(table[i], bytes, i == s->p.rank, device))
			return CUDA_ERROR_ILLEGAL_ADDRESS;
		s->buffers[i] = (uint64_t *)(uintptr_t)table[i];
	}
	return CUDA_SUCCESS;
}

static _Atomic uint64_t *flag(const struct step *s, uint64_t rank, unsigned int word)
{
	return (_Atomic uint64_t *)(s->buffers[rank] + word);
}

static void await_all(const struct step *s, unsigned int word, uint64_t step)
{
	const struct timespec pause = {0, 50000};

	for (uint64_t i = 0; i < s->p.nr_ranks; i++)
		while (atomic_load(flag(s, i, word)) < step)
			nanosleep(&pause, NULL);
}

CUresult ccr_run_all_reduce(const uint64_t *raw, int device, const struct ccr_dims *dims)
{
	struct step s;
	uint64_t sum = 0, *data, *acc;
	CUresult result;

	memcpy(&s.p, raw, sizeof(s.p));
	if (dims->grid[0] != 1 || dims->block[0] != CCR_RANK_THREADS)
		return CUDA_ERROR_LAUNCH_FAILED;
	result = check(&s, device);
	if (result != CUDA_SUCCESS)
		return result;
	await_all(&s, CCR_RANK_DONE, s.p.step - 1);
	data = s.buffers[s.p.rank] + CCR_RANK_HEADER_BYTES / 8;
	for (uint64_t i = 0; i < s.p.nr_words; i++)
		data[i] += CCR_RANK_INCREMENT;
	atomic_store(flag(&s, s.p.rank, CCR_RANK_READY), s.p.step);
	await_all(&s, CCR_RANK_READY, s.p.step);
	for (uint64_t i = 0; i < s.p.nr_ranks; i++)
		sum += ccr_pattern_checksum(s.buffers[i] + CCR_RANK_HEADER_BYTES / 8, s.p.nr_words,
					    0);
	acc = (uint64_t *)(uintptr_t)s.p.acc;
	*acc = ccr_mix64(*acc + sum);
	atomic_store(flag(&s, s.p.rank, CCR_RANK_DONE), s.p.step);
	return CUDA_SUCCESS;
}
