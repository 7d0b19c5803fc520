// SPDX-License-Identifier: MIT
/*
 * The workload's kernels: names, parameters and exact results. The PTX in
 * kernels_ptx.c runs on a GPU, softcuda/queue/kernels.c on the CPU; both are
 * tested against the reference functions below.
 *
 * A buffer is an array of 64-bit words, cut into blocks of CCR_PATTERN_BLOCK
 * words. Word i of a buffer filled with `key` is low(i % B) + high(i / B) + key.
 * The checksum is the sum of word(i) * weight(i) modulo 2^64 with odd,
 * pseudo-random weights low(i % B) * high(i / B):
 *  - one changed word (so one flipped byte) always changes the sum, because an
 *    odd factor is invertible modulo 2^64;
 *  - the sum does not depend on the order in which threads add;
 *  - words and weights factor by block, so the expected sum of a buffer of n
 *    words takes n / B steps (pattern.c), not n.
 *
 * All parameters are 64-bit values, in the order of the structs below. The
 * result does not depend on grid and block size, because the threads of a launch
 * share the whole range (grid-stride). So a CPU may use one loop.
 */
#ifndef CCR_WORKLOAD_KERNELS_H
#define CCR_WORKLOAD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* X(name, number of 64-bit parameters) */
#define CCR_KERNELS(X)         \
	X(ccr_fill_u64, 4)     \
	X(ccr_checksum_u64, 4) \
	X(ccr_spin, 1)

/* ptr[k] = word(first_word + k, key) for k < nr_words. */
struct ccr_fill_u64_params {
	uint64_t ptr; /* device address, 8-byte aligned */
	uint64_t nr_words;
	uint64_t first_word;
	uint64_t key;
};

/*
 * Atomically adds the sum of ptr[k] * weight(first_word + k), k < nr_words, to
 * the 64-bit word at out. The caller zeroes *out before.
 */
struct ccr_checksum_u64_params {
	uint64_t ptr; /* device address, 8-byte aligned */
	uint64_t nr_words;
	uint64_t first_word;
	uint64_t out; /* device address of one 64-bit word */
};

/*
 * Runs until the host ends it: writes 1 to flags[CCR_SPIN_RUNNING], then reads
 * flags[CCR_SPIN_STOP] (volatile) until it is not 0. The flags are two 32-bit
 * words of mapped pinned host memory. Launched with one thread.
 */
struct ccr_spin_params {
	uint64_t flags; /* device address of the flags */
};

#define CCR_SPIN_STOP	 0
#define CCR_SPIN_RUNNING 1

#define CCR_PATTERN_BLOCK  4096u /* words, a power of two */
#define CCR_PATTERN_GOLDEN 0x9e3779b97f4a7c15ull
#define CCR_PATTERN_MUL1   0xbf58476d1ce4e5b9ull
#define CCR_PATTERN_MUL2   0x94d049bb133111ebull

/* Salts that distinguish the four sequences. */
#define CCR_SALT_WORD_LOW    0x1000000000000001ull
#define CCR_SALT_WORD_HIGH   0x2000000000000003ull
#define CCR_SALT_WEIGHT_LOW  0x3000000000000005ull
#define CCR_SALT_WEIGHT_HIGH 0x4000000000000007ull

/* The finalizer of splitmix64: a bijection of 64-bit words. */
static inline uint64_t ccr_mix64(uint64_t x)
{
	x = (x ^ (x >> 30)) * CCR_PATTERN_MUL1;
	x = (x ^ (x >> 27)) * CCR_PATTERN_MUL2;
	return x ^ (x >> 31);
}

/* Returns element n of the sequence that the salt selects. */
static inline uint64_t ccr_sequence(uint64_t n, uint64_t salt)
{
	return ccr_mix64(n * CCR_PATTERN_GOLDEN + salt);
}

static inline uint64_t ccr_pattern_word(uint64_t index, uint64_t key)
{
	return ccr_sequence(index % CCR_PATTERN_BLOCK, CCR_SALT_WORD_LOW) +
	       ccr_sequence(index / CCR_PATTERN_BLOCK, CCR_SALT_WORD_HIGH) + key;
}

static inline uint64_t ccr_pattern_weight(uint64_t index)
{
	return (ccr_sequence(index % CCR_PATTERN_BLOCK, CCR_SALT_WEIGHT_LOW) | 1) *
	       (ccr_sequence(index / CCR_PATTERN_BLOCK, CCR_SALT_WEIGHT_HIGH) | 1);
}

/* What ccr_fill_u64 does, for host memory. */
static inline void ccr_pattern_fill(uint64_t *words, uint64_t nr_words, uint64_t first_word,
				    uint64_t key)
{
	for (uint64_t k = 0; k < nr_words; k++)
		words[k] = ccr_pattern_word(first_word + k, key);
}

/* What ccr_checksum_u64 adds to *out, for host memory. */
static inline uint64_t ccr_pattern_checksum(const uint64_t *words, uint64_t nr_words,
					    uint64_t first_word)
{
	uint64_t sum = 0;

	for (uint64_t k = 0; k < nr_words; k++)
		sum += words[k] * ccr_pattern_weight(first_word + k);
	return sum;
}

#endif
