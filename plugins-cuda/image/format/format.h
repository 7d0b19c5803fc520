// SPDX-License-Identifier: MIT
/* Used for reading and for writing: the manifest's head, names and errors. */
#ifndef CCR_IMAGE_FORMAT_H
#define CCR_IMAGE_FORMAT_H

#include <assert.h>

#include <sys/stat.h>

#include "image/image.h"

struct ProtobufCMessage;

/* Precedes the protobuf message; numbers are little-endian. */
struct ccr_image_head {
	char magic[8];
	uint32_t version;
	uint32_t crc;	/* CRC-32 of the message */
	uint64_t bytes; /* length of the message, which ends the file */
};
static_assert(sizeof(struct ccr_image_head) == 24, "the head of a manifest has 24 bytes");

/* Writes a sentence to `error` and returns `ret`. */
int ccr__image_error(int ret, char *error, size_t error_size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The version in the head of a manifest, which was checked. */
uint32_t ccr__image_version(const void *data);

/* Packs a head with this magic and version, and the message. The caller frees `*data`. Returns 0 or
 * -errno. */
int ccr__image_pack_message(const struct ProtobufCMessage *message, const char *magic,
			    uint32_t version, void **data, size_t *size);
/* Checks the head of a manifest file in memory. Returns 0, or -errno with a sentence. */
int ccr__image_check_head(const void *data, size_t size, const char *magic, const char *name,
			  char *error, size_t error_size);
/*
 * Writes a manifest under a temporary name and renames it. With `sync`, file
 * and directory are on disk when it returns. Returns 0, or -errno: the file is
 * not there, or is still the earlier one.
 */
int ccr__image_write_manifest(int dirfd, const char *name, const void *data, size_t size,
			      bool sync);

static inline uint64_t ccr__image_round_up(uint64_t bytes)
{
	return (bytes + CCR_IMAGE_ALIGN - 1) & ~(uint64_t)(CCR_IMAGE_ALIGN - 1);
}

#endif
