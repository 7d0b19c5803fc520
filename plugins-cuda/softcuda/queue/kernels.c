// SPDX-License-Identifier: MIT
// The kernels that this driver can run, which are those in common/kernels.h, scan_kernel.h and
// rank_kernel.h, on one CPU thread.
// Addresses are checked before an access. A wrong one ends the context, as on hardware.
#include "softcuda/softcuda.h"
#include "common/kernels.h"
#include "common/rank_kernel.h"
#include "common/scan_kernel.h"
#include "softcuda/queue/reduce.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define BLOCK CCR_PATTERN_BLOCK

// Values of the pattern that repeat in every block.
static struct {
	pthread_once_t once;
	uint64_t word_low[BLOCK], weight_low[BLOCK];
} tables = {.once = PTHREAD_ONCE_INIT};

static void make_tables(void)
{
	for (uint64_t i = 0; i < BLOCK; i++) {
		tables.word_low[i] = ccr_sequence(i, CCR_SALT_WORD_LOW);
		tables.weight_low[i] = ccr_sequence(i, CCR_SALT_WEIGHT_LOW) | 1;
	}
}

static CUresult check_words(uint64_t addr, uint64_t words, bool write, int device)
{
	if (addr % 8)
		return CUDA_ERROR_MISALIGNED_ADDRESS;
	if (words > UINT64_MAX / 8 || !ccr_may_access(addr, words * 8, write, device))
		return CUDA_ERROR_ILLEGAL_ADDRESS;
	return CUDA_SUCCESS;
}

static CUresult run_fill(const uint64_t *raw, int device, const struct ccr_dims *dims)
{
	struct ccr_fill_u64_params p;
	CUresult result;

	memcpy(&p, raw, sizeof(p));
	result = check_words(p.ptr, p.nr_words, true, device);
	if (result != CUDA_SUCCESS)
		return result;
	pthread_once(&tables.once, make_tables);
	for (uint64_t k = 0; k < p.nr_words;) {
		uint64_t index = p.first_word + k, *out = (uint64_t *)(uintptr_t)p.ptr + k;
		uint64_t high = ccr_sequence(index / BLOCK, CCR_SALT_WORD_HIGH) + p.key;
		uint64_t i = index % BLOCK, n = BLOCK - i;

		if (n > p.nr_words - k)
			n = p.nr_words - k;
		for (uint64_t j = 0; j < n; j++)
			out[j] = tables.word_low[i + j] + high;
		k += n;
	}
	return CUDA_SUCCESS;
}

static CUresult run_checksum(const uint64_t *raw, int device, const struct ccr_dims *dims)
{
	struct ccr_checksum_u64_params p;
	uint64_t sum = 0;
	CUresult result;

	memcpy(&p, raw, sizeof(p));
	result = check_words(p.ptr, p.nr_words, false, device);
	if (result == CUDA_SUCCESS)
		result = check_words(p.out, 1, true, device);
	if (result != CUDA_SUCCESS)
		return result;
	pthread_once(&tables.once, make_tables);
	for (uint64_t k = 0; k < p.nr_words;) {
		uint64_t index = p.first_word + k;
		const uint64_t *in = (const uint64_t *)(uintptr_t)p.ptr + k;
		uint64_t high = ccr_sequence(index / BLOCK, CCR_SALT_WEIGHT_HIGH) | 1;
		uint64_t i = index % BLOCK, n = BLOCK - i, part = 0;

		if (n > p.nr_words - k)
			n = p.nr_words - k;
		for (uint64_t j = 0; j < n; j++)
			part += in[j] * tables.weight_low[i + j];
		sum += part * high;
		k += n;
	}
	__atomic_fetch_add((uint64_t *)(uintptr_t)p.out, sum, __ATOMIC_SEQ_CST);
	return CUDA_SUCCESS;
}

static CUresult run_spin(const uint64_t *raw, int device, const struct ccr_dims *dims)
{
	const struct timespec pause = {0, 50000};
	struct ccr_spin_params p;
	_Atomic uint32_t *flags;

	memcpy(&p, raw, sizeof(p));
	if (p.flags % 4)
		return CUDA_ERROR_MISALIGNED_ADDRESS;
	if (!ccr_may_access(p.flags, 8, true, device))
		return CUDA_ERROR_ILLEGAL_ADDRESS;
	flags = (_Atomic uint32_t *)(uintptr_t)p.flags;
	atomic_store(&flags[CCR_SPIN_RUNNING], 1);
	while (!atomic_load(&flags[CCR_SPIN_STOP]))
		nanosleep(&pause, NULL);
	return CUDA_SUCCESS;
}

static bool is_all_zero(const struct ccr_scan_entry *entry)
{
	const uint64_t *words = (const uint64_t *)(uintptr_t)entry->address;
	uint64_t any = 0;

	for (uint64_t i = 0; i < entry->bytes / 8 && !any; i++)
		any = words[i];
	return !any;
}

static CUresult run_find_zeroes(const uint64_t *raw, int device, const struct ccr_dims *dims)
{
	struct ccr_find_zeroes_params p;
	struct ccr_scan_entry *entries;

	memcpy(&p, raw, sizeof(p));
	// Unlike the other kernels, this one needs a grid and a block of a given size.
	if (dims->grid[0] < p.nr_entries || dims->block[0] != CCR_SCAN_THREADS)
		return CUDA_ERROR_LAUNCH_FAILED;
	if (p.entries % CCR_SCAN_ALIGN)
		return CUDA_ERROR_MISALIGNED_ADDRESS;
	if (!ccr_may_access(p.entries, p.nr_entries * sizeof(*entries), true, device))
		return CUDA_ERROR_ILLEGAL_ADDRESS;
	entries = (struct ccr_scan_entry *)(uintptr_t)p.entries;
	for (uint64_t i = 0; i < p.nr_entries; i++) {
		if (entries[i].address % CCR_SCAN_ALIGN || entries[i].bytes % CCR_SCAN_ALIGN)
			return CUDA_ERROR_MISALIGNED_ADDRESS;
		if (!ccr_may_access(entries[i].address, entries[i].bytes, false, device))
			return CUDA_ERROR_ILLEGAL_ADDRESS;
		if (is_all_zero(&entries[i]))
			entries[i].is_zero = 1;
	}
	return CUDA_SUCCESS;
}

static const struct ccr_kernel kernels[] = {
	{"ccr_fill_u64", sizeof(struct ccr_fill_u64_params) / 8, run_fill},
	{"ccr_checksum_u64", sizeof(struct ccr_checksum_u64_params) / 8, run_checksum},
	{"ccr_spin", sizeof(struct ccr_spin_params) / 8, run_spin},
	{"ccr_find_zeroes", sizeof(struct ccr_find_zeroes_params) / 8, run_find_zeroes},
	{"ccr_all_reduce", sizeof(struct ccr_all_reduce_params) / 8, ccr_run_all_reduce},
};

#define ONE(name, nr_params) +1
_Static_assert(sizeof(kernels) / sizeof(kernels[0]) == 0 CCR_KERNELS(ONE) CCR_SCAN_KERNELS(ONE)
							       CCR_RANK_KERNELS(ONE),
	       "a header of kernels has one that is missing here");
#undef ONE

const struct ccr_kernel *ccr_kernel_find(const char *name)
{
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
		if (!strcmp(kernels[i].name, name))
			return &kernels[i];
	return NULL;
}
