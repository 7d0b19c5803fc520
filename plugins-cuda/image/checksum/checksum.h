// SPDX-License-Identifier: MIT
/*
 * XXH3 (64 bit) and the test for zeroes, in the widest instructions the CPU
 * has; and CRC-32 (zlib's) for the small manifest. Reentrant.
 */
#ifndef CCR_CHECKSUM_H
#define CCR_CHECKSUM_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Large enough for the library's own state; a static assertion compares them. */
struct ccr_checksum {
	alignas(64) unsigned char state[640];
};

uint64_t ccr_xxh3(const void *data, size_t size);
void ccr_checksum_begin(struct ccr_checksum *checksum);
void ccr_checksum_update(struct ccr_checksum *checksum, const void *data, size_t size);
uint64_t ccr_checksum_end(const struct ccr_checksum *checksum);

/* Stops at the first byte (or so) that is not 0. */
bool ccr_is_zero(const void *data, size_t size);

uint32_t ccr_crc32(const void *data, size_t size);

/* Which instructions are in use, for reports. */
const char *ccr_checksum_variant(void);

#endif
