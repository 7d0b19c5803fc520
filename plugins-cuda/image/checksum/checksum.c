// SPDX-License-Identifier: MIT
#include "image/checksum/checksum.h"

#include "image/checksum/checksum_table.h"

/* Asking each time is cheap: the compiler's runtime caches the CPU's features in memory. */
static const struct ccr_checksum_ops *ops(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512f"))
		return &ccr__checksum_avx512;
	if (__builtin_cpu_supports("avx2"))
		return &ccr__checksum_avx2;
#endif
	return &ccr__checksum_generic;
}

const char *ccr_checksum_variant(void)
{
#ifdef __x86_64__
	if (ops() == &ccr__checksum_avx512)
		return "avx512";
	if (ops() == &ccr__checksum_avx2)
		return "avx2";
#endif
	return "generic";
}

uint64_t ccr_xxh3(const void *data, size_t size)
{
	return ops()->one_shot(data, size);
}

void ccr_checksum_begin(struct ccr_checksum *checksum)
{
	ops()->begin(checksum);
}

void ccr_checksum_update(struct ccr_checksum *checksum, const void *data, size_t size)
{
	ops()->update(checksum, data, size);
}

uint64_t ccr_checksum_end(const struct ccr_checksum *checksum)
{
	return ops()->end(checksum);
}

bool ccr_is_zero(const void *data, size_t size)
{
	return ops()->is_zero(data, size);
}

uint32_t ccr_crc32(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint32_t table[256], crc = ~0u;

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
	}
	while (size--)
		crc = crc >> 8 ^ table[(crc ^ *bytes++) & 0xff];
	return ~crc;
}
