// SPDX-License-Identifier: MIT
/* The functions for a writer's threads. Each accesses only its own struct writer_stripe. */
#include "image/write/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "image/checksum/checksum.h"

int ccr_image_writer_stripe(struct ccr_image_writer *writer, uint32_t number,
			    const struct ccr_image_stripe **stripe, char *error, size_t error_size)
{
	struct ccr_image_stripe *file = &writer->stripes[number].file;

	*stripe = file;
	if (file->fd >= 0)
		return 0;
	/* A killed writer may have left this file. No reader opens temporary names. */
	unlinkat(writer->dirfd, file->name, 0);
	file->fd = openat(writer->dirfd, file->name,
			  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file->fd >= 0) {
		writer->stripes[number].is_created = true;
		return 0;
	}
	return ccr__image_error(-errno, error, error_size, "cannot create %s: %s", file->name,
				strerror(errno));
}

uint64_t ccr_image_writer_reserve(struct ccr_image_writer *writer, uint32_t number, uint64_t length)
{
	struct ccr_image_stripe *file = &writer->stripes[number].file;
	const uint64_t offset = file->size;

	file->size += ccr__image_round_up(length);
	return offset;
}

int ccr_image_writer_add_chunk(struct ccr_image_writer *writer, uint32_t number,
			       const struct ccr_image_chunk *chunk)
{
	struct writer_stripe *stripe = &writer->stripes[number];

	if (stripe->nr_chunks == stripe->room) {
		const size_t room = stripe->room ? 2 * stripe->room : 256;
		struct ccr_image_chunk *chunks = realloc(stripe->chunks, room * sizeof(*chunks));

		if (!chunks)
			return -ENOMEM;
		stripe->chunks = chunks;
		stripe->room = room;
	}
	stripe->chunks[stripe->nr_chunks] = *chunk;
	stripe->chunks[stripe->nr_chunks++].stripe = number;
	return 0;
}

int ccr_image_writer_append(struct ccr_image_writer *writer, uint32_t number, uint32_t allocation,
			    uint64_t position, const void *data, uint64_t length, char *error,
			    size_t error_size)
{
	struct ccr_image_chunk chunk = {
		.allocation = allocation,
		.position = position,
		.length = length,
		.is_zero = ccr_is_zero(data, length),
	};
	int ret;

	if (!chunk.is_zero) {
		const struct ccr_image_stripe *file;

		ret = ccr_image_writer_stripe(writer, number, &file, error, error_size);
		if (ret)
			return ret;
		chunk.xxh3 = ccr_xxh3(data, length);
		chunk.offset = ccr_image_writer_reserve(writer, number, length);
		ret = ccr_io_pwrite_full(file->fd, data, length, chunk.offset);
		if (ret)
			return ccr__image_error(ret, error, error_size,
						"%s: write of %llu bytes at %llu: %s", file->name,
						(unsigned long long)length,
						(unsigned long long)chunk.offset, strerror(-ret));
	}
	ret = ccr_image_writer_add_chunk(writer, number, &chunk);
	return ret ? ccr__image_error(ret, error, error_size, "out of memory") : 0;
}
