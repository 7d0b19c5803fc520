// SPDX-License-Identifier: MIT
#include "workloads/workload.h"

uint64_t pattern_key(uint64_t seed, uint64_t buffer)
{
	return ccr_mix64(seed * CCR_PATTERN_GOLDEN + buffer + 1);
}

/*
 * In block b every word is low(j) + c with c = high(b) + key, every weight
 * wlow(j) * whigh(b): the block's sum is whigh(b) * (sum low*wlow + c * sum wlow),
 * whose two inner sums are the same for all whole blocks.
 */
static uint64_t block_sum(uint64_t block, uint64_t nr_words, uint64_t key)
{
	const uint64_t c = ccr_sequence(block, CCR_SALT_WORD_HIGH) + key;
	uint64_t products = 0, weights = 0;

	for (uint64_t j = 0; j < nr_words; j++) {
		const uint64_t weight = ccr_sequence(j, CCR_SALT_WEIGHT_LOW) | 1;

		products += ccr_sequence(j, CCR_SALT_WORD_LOW) * weight;
		weights += weight;
	}
	return (ccr_sequence(block, CCR_SALT_WEIGHT_HIGH) | 1) * (products + c * weights);
}

uint64_t pattern_expected(uint64_t nr_words, uint64_t key)
{
	const uint64_t blocks = nr_words / CCR_PATTERN_BLOCK, rest = nr_words % CCR_PATTERN_BLOCK;
	uint64_t products = 0, weights = 0, sum;

	for (uint64_t j = 0; blocks && j < CCR_PATTERN_BLOCK; j++) {
		const uint64_t weight = ccr_sequence(j, CCR_SALT_WEIGHT_LOW) | 1;

		products += ccr_sequence(j, CCR_SALT_WORD_LOW) * weight;
		weights += weight;
	}
	sum = rest ? block_sum(blocks, rest, key) : 0;
	for (uint64_t b = 0; b < blocks; b++)
		sum += (ccr_sequence(b, CCR_SALT_WEIGHT_HIGH) | 1) *
		       (products + (ccr_sequence(b, CCR_SALT_WORD_HIGH) + key) * weights);
	return sum;
}
