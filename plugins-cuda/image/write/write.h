// SPDX-License-Identifier: MIT
/* The writer's state, between writer.c, append.c and commit.c. */
#ifndef CCR_IMAGE_WRITE_H
#define CCR_IMAGE_WRITE_H

#include <stdalign.h>

#include "image/format/format.h"

/* One thread's part; a cache line of its own at least. */
struct writer_stripe {
	alignas(128) struct ccr_image_stripe file; /* fd -1 until something is stored */
	struct ccr_image_chunk *chunks;
	size_t nr_chunks, room;
};

struct ccr_image_writer {
	int dirfd;
	struct ccr_image_options options;
	struct ccr_image draft; /* devices, allocations, pid, names */
	struct writer_stripe *stripes;
};

/* Closes and frees everything but the files. */
void ccr__image_writer_free(struct ccr_image_writer *writer);
void ccr__image_temporary_name(char *out, const char *name);
/* The whole manifest file as bytes; `*data` is the caller's to free. */
int ccr__image_pack(const struct ccr_image *image, void **data, size_t *size);

#endif
