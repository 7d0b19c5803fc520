// SPDX-License-Identifier: MIT
/*
 * Included by one file per instruction set, which is compiled with that set's
 * flags and defines VARIANT(name). All library functions are inlined, so each
 * file has its own copies.
 */
#include "image/checksum/checksum_table.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

static_assert(sizeof(XXH3_state_t) <= sizeof(struct ccr_checksum),
	      "the state of XXH3 does not fit");

static uint64_t one_shot(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}

static void begin(struct ccr_checksum *checksum)
{
	XXH3_64bits_reset((XXH3_state_t *)checksum->state);
}

static void update(struct ccr_checksum *checksum, const void *data, size_t size)
{
	XXH3_64bits_update((XXH3_state_t *)checksum->state, data, size);
}

static uint64_t end(const struct ccr_checksum *checksum)
{
	return XXH3_64bits_digest((const XXH3_state_t *)checksum->state);
}

/* The blocks are large enough to be vectorized and small enough to stop early. */
static bool is_zero(const void *data, size_t size)
{
	enum { WORDS = 64 };
	const unsigned char *bytes = data;

	while (size >= WORDS * sizeof(uint64_t)) {
		uint64_t words[WORDS], any = 0;

		memcpy(words, bytes, sizeof(words));
		for (int i = 0; i < WORDS; i++)
			any |= words[i];
		if (any)
			return false;
		bytes += sizeof(words);
		size -= sizeof(words);
	}
	while (size--)
		if (*bytes++)
			return false;
	return true;
}

const struct ccr_checksum_ops VARIANT = {
	.one_shot = one_shot,
	.begin = begin,
	.update = update,
	.end = end,
	.is_zero = is_zero,
};
