// SPDX-License-Identifier: MIT
/* The variants of checksum.h, one per instruction set. */
#ifndef CCR_CHECKSUM_TABLE_H
#define CCR_CHECKSUM_TABLE_H

#include "image/checksum/checksum.h"

struct ccr_checksum_ops {
	uint64_t (*one_shot)(const void *data, size_t size);
	void (*begin)(struct ccr_checksum *checksum);
	void (*update)(struct ccr_checksum *checksum, const void *data, size_t size);
	uint64_t (*end)(const struct ccr_checksum *checksum);
	bool (*is_zero)(const void *data, size_t size);
};

extern const struct ccr_checksum_ops ccr__checksum_generic;
extern const struct ccr_checksum_ops ccr__checksum_avx2;
extern const struct ccr_checksum_ops ccr__checksum_avx512;

#endif
