// SPDX-License-Identifier: MIT
/* The writer's state, shared by writer.c, append.c and commit.c. */
#ifndef CCR_IMAGE_WRITE_H
#define CCR_IMAGE_WRITE_H

#include <stdalign.h>

#include "image/format/format.h"

/* The state of one thread, in its own cache lines. */
struct writer_stripe {
	alignas(128) struct ccr_image_stripe file; /* fd -1 until something is stored */
	bool is_created;			   /* the file has its temporary name */
	bool is_linked;				   /* it is a stripe of an earlier image */
	struct ccr_image_chunk *chunks;
	size_t nr_chunks, room;
};

struct ccr_image_writer {
	int dirfd;
	struct ccr_image_options options;
	struct ccr_image draft; /* devices, allocations, pid, names */
	uint32_t nr_stripes;	/* those of the threads, then those that are linked */
	struct writer_stripe *stripes;
};

/* Closes all files and frees the writer, but removes no file. */
void ccr__image_writer_free(struct ccr_image_writer *writer);
void ccr__image_temporary_name(char *out, const char *name);
/* Packs the whole manifest file. The caller frees `*data`. Returns 0 or -errno. */
int ccr__image_pack(const struct ccr_image *image, void **data, size_t *size);

#endif
