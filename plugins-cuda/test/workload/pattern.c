// SPDX-License-Identifier: MIT
// The pattern's arithmetic: compares the closed form of the expected checksum with the sum, and
// tests which changes the checksum is certain to detect.
#include <stdio.h>
#include <stdlib.h>
#include "workloads/workloads.h"

#define CHECK(condition)                                                                          \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                                  \
		}                                                                                 \
	} while (0)

#define B	  CCR_PATTERN_BLOCK
#define MAX_WORDS (5 * B + 11)

static uint64_t words[MAX_WORDS];

static void closed_form_is_the_sum(void)
{
	static const uint64_t sizes[] = {0, 1, 7, B - 1, B, B + 1, 2 * B, 3 * B + 5, MAX_WORDS};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (uint64_t seed = 0; seed < 4; seed++) {
			const uint64_t key = pattern_key(seed, i);

			ccr_pattern_fill(words, sizes[i], 0, key);
			CHECK(ccr_pattern_checksum(words, sizes[i], 0) ==
			      pattern_expected(sizes[i], key));
		}
	}
}

static void parts_add_up(void)
{
	const uint64_t cuts[] = {1, B - 3, B, 2 * B + 100};

	ccr_pattern_fill(words, MAX_WORDS, 0, 9);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
		CHECK(ccr_pattern_checksum(words, cuts[i], 0) +
			      ccr_pattern_checksum(words + cuts[i], MAX_WORDS - cuts[i], cuts[i]) ==
		      pattern_expected(MAX_WORDS, 9));
}

static void every_flipped_bit_is_seen(void)
{
	const uint64_t key = pattern_key(1, 2), expected = pattern_expected(MAX_WORDS, key);
	const uint64_t at[] = {0, 1, B - 1, B, 2 * B + 77, MAX_WORDS - 1};

	ccr_pattern_fill(words, MAX_WORDS, 0, key);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (int bit = 0; bit < 64; bit++) {
			words[at[i]] ^= 1ull << bit;
			CHECK(ccr_pattern_checksum(words, MAX_WORDS, 0) != expected);
			words[at[i]] ^= 1ull << bit;
		}
	}
	CHECK(ccr_pattern_checksum(words, MAX_WORDS, 0) == expected);
}

static void swap_ranges(uint64_t *a, uint64_t *b, uint64_t nr_words)
{
	for (uint64_t i = 0; i < nr_words; i++) {
		const uint64_t old = a[i];

		a[i] = b[i];
		b[i] = old;
	}
}

static void swapped_and_lost_pieces_are_seen(void)
{
	const uint64_t expected = pattern_expected(MAX_WORDS, 5), page = 4096 / 8;

	ccr_pattern_fill(words, MAX_WORDS, 0, 5);
	swap_ranges(words, words + page, page);
	CHECK(ccr_pattern_checksum(words, MAX_WORDS, 0) != expected);
	swap_ranges(words, words + page, page);
	swap_ranges(words + B, words + 3 * B, B);
	CHECK(ccr_pattern_checksum(words, MAX_WORDS, 0) != expected);
	swap_ranges(words + B, words + 3 * B, B);
	CHECK(ccr_pattern_checksum(words, MAX_WORDS, 0) == expected);
	for (uint64_t i = 0; i < page; i++)
		words[2 * B + i] = 0;
	CHECK(ccr_pattern_checksum(words, MAX_WORDS, 0) != expected);
}

// The key's weight in the sum must not be 0 modulo 2^64, especially for sizes that are powers of
// two. Otherwise an allocation with the bytes of another one would pass.
static void other_keys_are_seen_at_every_size(void)
{
	for (int shift = 12; shift <= 33; shift++) {
		const uint64_t nr = 1ull << shift, one = pattern_expected(nr, 0);

		for (uint64_t buffer = 0; buffer < 4; buffer++)
			CHECK(pattern_expected(nr, pattern_key(1, buffer)) != one);
		CHECK((pattern_expected(nr, 1) - one) % (1ull << 20) != 0);
	}
}

int main(void)
{
	closed_form_is_the_sum();
	parts_add_up();
	every_flipped_bit_is_seen();
	swapped_and_lost_pieces_are_seen();
	other_keys_are_seen_at_every_size();
	return 0;
}
