// SPDX-License-Identifier: MIT
/*
 * Checksums: published values, same results with every instruction set and in
 * pieces; the test for zeroes.
 */
#include "image/checksum/checksum.h"

#include "image/checksum/checksum_table.h"
#include "test/image/image_test.h"

static unsigned char data[300000] __attribute__((aligned(64)));

static void test_known_values(void)
{
	/* From the reference implementations: XXH3 of no bytes, and CRC-32's check value. */
	CHECK(ccr_xxh3("", 0) == 0x2d06800538d394c2ull);
	CHECK(ccr_crc32("123456789", 9) == 0xcbf43926u);
	CHECK(ccr_crc32("", 0) == 0);
}

static uint64_t in_pieces(const void *bytes, size_t size, size_t piece)
{
	struct ccr_checksum checksum;

	ccr_checksum_begin(&checksum);
	for (size_t at = 0; at < size; at += piece)
		ccr_checksum_update(&checksum, (const char *)bytes + at,
				    size - at < piece ? size - at : piece);
	return ccr_checksum_end(&checksum);
}

static void test_variants_agree(void)
{
	static const size_t sizes[] = {0,   1,	 16,   17,   128,  129,	  240,	  241,
				       255, 256, 1024, 1025, 4096, 65536, 262144, 299999};
	const struct ccr_checksum_ops *others[3] = {&ccr__checksum_generic};
	int nr = 1;

#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		others[nr++] = &ccr__checksum_avx2;
	if (__builtin_cpu_supports("avx512f"))
		others[nr++] = &ccr__checksum_avx512;
#endif
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const uint64_t expected = ccr_xxh3(data, sizes[i]);

		for (int v = 0; v < nr; v++)
			CHECK(others[v]->one_shot(data, sizes[i]) == expected);
		CHECK(in_pieces(data, sizes[i], 4096) == expected);
		CHECK(in_pieces(data, sizes[i], 1000) == expected);
	}
}

static void test_zero(void)
{
	static unsigned char zero[70000];

	for (size_t size = 0; size < 1200; size++)
		CHECK(ccr_is_zero(zero, size));
	CHECK(ccr_is_zero(zero, sizeof(zero)));
	for (size_t at = 0; at < sizeof(zero); at += at < 1200 ? 1 : 997) {
		zero[at] = 1;
		CHECK(!ccr_is_zero(zero, sizeof(zero)));
		CHECK(!ccr_is_zero(zero, at + 1));
		CHECK(ccr_is_zero(zero, at));
		zero[at] = 0;
	}
}

int main(void)
{
	image_pattern(data, sizeof(data), 7);
	test_known_values();
	test_variants_agree();
	test_zero();
	return 0;
}
