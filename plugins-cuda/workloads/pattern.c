// SPDX-License-Identifier: MIT
#include "workloads/workloads.h"

uint64_t pattern_key(uint64_t seed, uint64_t buffer)
{
	return ccr_mix64(seed * CCR_PATTERN_GOLDEN + buffer + 1);
}

/* The part of a block's sum that depends only on its number of words. */
struct inner {
	uint64_t products, weights;
};

static struct inner whole_block;
static pthread_once_t whole_block_once = PTHREAD_ONCE_INIT;

static struct inner inner_of(uint64_t nr_words)
{
	struct inner inner = {0};

	for (uint64_t j = 0; j < nr_words; j++) {
		const uint64_t weight = ccr_sequence(j, CCR_SALT_WEIGHT_LOW) | 1;

		inner.products += ccr_sequence(j, CCR_SALT_WORD_LOW) * weight;
		inner.weights += weight;
	}
	return inner;
}

static void find_whole_block(void)
{
	whole_block = inner_of(CCR_PATTERN_BLOCK);
}

/*
 * In block b, word j is low(j) + c with c = high(b) + key, and its weight is
 * wlow(j) * whigh(b). So the block's sum is whigh(b) * (sum low*wlow + c * sum
 * wlow).
 */
static uint64_t block_sum(uint64_t block, struct inner inner, uint64_t key)
{
	const uint64_t c = ccr_sequence(block, CCR_SALT_WORD_HIGH) + key;

	return (ccr_sequence(block, CCR_SALT_WEIGHT_HIGH) | 1) *
	       (inner.products + c * inner.weights);
}

uint64_t pattern_expected(uint64_t nr_words, uint64_t key)
{
	const uint64_t blocks = nr_words / CCR_PATTERN_BLOCK, rest = nr_words % CCR_PATTERN_BLOCK;
	uint64_t sum = 0;

	/* Computed once, because a verify compares thousands of buffers. */
	pthread_once(&whole_block_once, find_whole_block);
	for (uint64_t b = 0; b < blocks; b++)
		sum += block_sum(b, whole_block, key);
	return rest ? sum + block_sum(blocks, inner_of(rest), key) : sum;
}
