// SPDX-License-Identifier: MIT
/*
 * XXH3 (64 bits) and a test for zeroes, with the widest instructions of the
 * CPU, and zlib's CRC-32 for the small manifest. Reentrant.
 */
#ifndef CCR_CHECKSUM_H
#define CCR_CHECKSUM_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Large enough for the library's state, which a static assertion checks. */
struct ccr_checksum {
	alignas(64) unsigned char state[640];
};

uint64_t ccr_xxh3(const void *data, size_t size);
void ccr_checksum_begin(struct ccr_checksum *checksum);
void ccr_checksum_update(struct ccr_checksum *checksum, const void *data, size_t size);
uint64_t ccr_checksum_end(const struct ccr_checksum *checksum);

/* Stops soon after the first byte that is not 0. */
bool ccr_is_zero(const void *data, size_t size);

uint32_t ccr_crc32(const void *data, size_t size);

/* Name of the instruction set in use, for reports. */
const char *ccr_checksum_variant(void);

#endif
