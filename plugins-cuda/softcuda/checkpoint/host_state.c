// SPDX-License-Identifier: MIT
// Host memory of the driver that its Checkpoint changes as late as it can, with
// SOFTCUDA_HOST_STATE_MB: what was copied of it while the Checkpoint was in progress is old. The
// Restore fails if it finds anything else than the Checkpoint has left.
#include "softcuda/checkpoint/checkpoint.h"

#include <sys/mman.h>

#define WORDS (CCR_MIB / sizeof(uint64_t))

// What becomes of one MiB after the other.
enum change { REWRITTEN, LAST_BYTE, DROPPED, MAPPED_ANEW, KEPT, NR_CHANGES };

static struct {
	uint64_t *words;
	uint64_t nr_mib;
	uint64_t generation; // how many Checkpoints there were
} state;

static uint64_t word(uint64_t mib, uint64_t i, uint64_t generation)
{
	return (mib * WORDS + i + 1) * 0x9e3779b97f4a7c15ull ^ generation;
}

static void fill(uint64_t mib)
{
	for (uint64_t i = 0; i < WORDS; i++)
		state.words[mib * WORDS + i] = word(mib, i, state.generation);
}

static uint64_t expected(uint64_t mib, uint64_t i)
{
	switch ((enum change)(mib % NR_CHANGES)) {
	case REWRITTEN:
	case MAPPED_ANEW:
		return word(mib, i, state.generation);
	case LAST_BYTE:
		return word(mib, i, 0) ^ (i == WORDS - 1 ? state.generation << 56 : 0);
	case DROPPED:
		return state.generation ? 0 : word(mib, i, 0);
	default:
		return word(mib, i, 0);
	}
}

CUresult ccr_host_state_create(void)
{
	void *memory;

	state.nr_mib = ccr_soft_settings()->host_state_mib;
	if (!state.nr_mib)
		return CUDA_SUCCESS;
	memory = mmap(NULL, state.nr_mib * CCR_MIB, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return CUDA_ERROR_OUT_OF_MEMORY;
	state.words = memory;
	for (uint64_t mib = 0; mib < state.nr_mib; mib++)
		fill(mib);
	return CUDA_SUCCESS;
}

static CUresult change(uint64_t mib)
{
	uint64_t *const words = state.words + mib * WORDS;

	switch ((enum change)(mib % NR_CHANGES)) {
	case MAPPED_ANEW:
		if (munmap(words, CCR_MIB) ||
		    mmap(words, CCR_MIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != words)
			return CUDA_ERROR_OUT_OF_MEMORY;
		fill(mib);
		break;
	case REWRITTEN:
		fill(mib);
		break;
	case LAST_BYTE:
		words[WORDS - 1] = expected(mib, WORDS - 1);
		break;
	case DROPPED:
		if (madvise(words, CCR_MIB, MADV_DONTNEED))
			return CUDA_ERROR_OPERATING_SYSTEM;
		break;
	default:
		break;
	}
	return CUDA_SUCCESS;
}

CUresult ccr_host_state_change(void)
{
	CUresult result = CUDA_SUCCESS;

	state.generation++;
	for (uint64_t mib = 0; mib < state.nr_mib && result == CUDA_SUCCESS; mib++)
		result = change(mib);
	return result;
}

CUresult ccr_host_state_check(void)
{
	for (uint64_t mib = 0; mib < state.nr_mib; mib++)
		for (uint64_t i = 0; i < WORDS; i++)
			if (state.words[mib * WORDS + i] != expected(mib, i))
				return CUDA_ERROR_ECC_UNCORRECTABLE;
	return CUDA_SUCCESS;
}
