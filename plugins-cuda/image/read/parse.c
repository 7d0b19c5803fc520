// SPDX-License-Identifier: MIT
/* Parses the bytes of a manifest to a struct ccr_image. */
#include "image/format/format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.pb-c.h"
#include "image/check/check.h"
#include "image/read/wire.h"

/* Of the images that do not say it. */
#define PROTOCOL_BEFORE_THE_FIELD 2

static const struct ccr__wire_limit limits[] = {
	{"devices", CCR_IMAGE_MAX_DEVICES},	 {"allocations", CCR_IMAGE_MAX_ALLOCATIONS},
	{"chunks", CCR_IMAGE_MAX_CHUNKS},	 {"imports", CCR_IMAGE_MAX_ALLOCATIONS},
	{"stripe_sizes", CCR_IMAGE_MAX_STRIPES},
};

static int check_id(const char *field, const ProtobufCBinaryData *id, const char *name, char *error,
		    size_t error_size)
{
	return id->len == 16
		       ? 0
		       : ccr__image_error(-EINVAL, error, error_size,
					  "%s: %s has %zu bytes, not 16", name, field, id->len);
}

static int copy_devices(struct ccr_image *image, const Ccr__Pb__Manifest *pb, char *error,
			size_t error_size)
{
	for (uint32_t i = 0; i < image->nr_devices; i++) {
		const Ccr__Pb__Device *from = pb->devices[i];

		if (from->uuid.len != sizeof(image->devices[i].uuid))
			return ccr__image_error(-EINVAL, error, error_size,
						"%s: devices[%u].uuid has %zu bytes, not 16",
						image->name, i, from->uuid.len);
		memcpy(image->devices[i].uuid, from->uuid.data, from->uuid.len);
		snprintf(image->devices[i].name, sizeof(image->devices[i].name), "%s", from->name);
	}
	return 0;
}

static void copy_rows(struct ccr_image *image, const Ccr__Pb__Manifest *pb)
{
	for (uint32_t i = 0; i < image->nr_allocations; i++) {
		const Ccr__Pb__Allocation *from = pb->allocations[i];
		struct ccr_image_allocation *to = &image->allocations[i];

		to->id = from->id;
		to->address = from->address;
		to->size = from->size;
		to->requested = from->requested;
		to->device = from->device;
		to->flags = from->flags;
	}
	for (size_t i = 0; i < image->nr_chunks; i++) {
		const Ccr__Pb__Chunk *from = pb->chunks[i];
		struct ccr_image_chunk *to = &image->chunks[i];

		to->allocation = from->allocation;
		to->position = from->position;
		to->length = from->length;
		to->stripe = from->stripe;
		to->offset = from->offset;
		to->xxh3 = from->xxh3;
		to->is_zero = from->zero;
	}
	for (uint32_t i = 0; i < image->nr_imports; i++) {
		const Ccr__Pb__Import *from = pb->imports[i];

		image->imports[i] = (struct ccr_image_import){.id = from->id,
							      .size = from->size,
							      .exporter = from->exporter,
							      .allocation = from->allocation};
	}
	for (uint32_t i = 0; i < image->nr_stripes; i++) {
		image->stripes[i].fd = -1;
		image->stripes[i].size = pb->stripe_sizes[i];
		ccr_image_stripe_name(image->stripes[i].name, image->pid, i);
	}
}

static int convert(struct ccr_image *image, const Ccr__Pb__Manifest *pb, char *error,
		   size_t error_size)
{
	int ret;

	memcpy(image->id, pb->id.data, sizeof(image->id));
	if (pb->checkpoint.len)
		memcpy(image->checkpoint, pb->checkpoint.data, sizeof(image->checkpoint));
	image->pid = pb->pid;
	image->created_ns = pb->created;
	image->driver_version = pb->driver;
	image->protocol = pb->protocol ? pb->protocol : PROTOCOL_BEFORE_THE_FIELD;
	image->chunk_size = pb->chunk_size;
	snprintf(image->tool, sizeof(image->tool), "%s", pb->tool);
	image->nr_devices = pb->n_devices;
	image->nr_allocations = pb->n_allocations;
	image->nr_chunks = pb->n_chunks;
	image->nr_stripes = pb->n_stripe_sizes;
	image->nr_imports = pb->n_imports;
	/* One more than needed, because calloc of 0 bytes may return NULL. */
	image->devices = calloc(image->nr_devices + 1, sizeof(*image->devices));
	image->allocations = calloc(image->nr_allocations + 1, sizeof(*image->allocations));
	image->chunks = calloc(image->nr_chunks + 1, sizeof(*image->chunks));
	image->stripes = calloc(image->nr_stripes + 1, sizeof(*image->stripes));
	image->imports = calloc(image->nr_imports + 1, sizeof(*image->imports));
	if (!image->imports || !image->devices || !image->allocations || !image->chunks ||
	    !image->stripes)
		return ccr__image_error(-ENOMEM, error, error_size, "%s: out of memory",
					image->name);
	ret = copy_devices(image, pb, error, error_size);
	if (ret)
		return ret;
	copy_rows(image, pb);
	ret = ccr__image_check(image, error, error_size);
	for (uint32_t i = 0; !ret && i < image->nr_allocations; i++)
		image->bytes += image->allocations[i].size;
	return ret;
}

int ccr_image_parse(struct ccr_image **out, const void *data, size_t size, const char *name,
		    char *error, size_t error_size)
{
	const uint8_t *message;
	struct ccr_image *image;
	Ccr__Pb__Manifest *pb;
	bool is_driver;
	int ret;

	ret = ccr__image_check_head(data, size, CCR_IMAGE_MAGIC, name, error, error_size);
	if (ret)
		return ret;
	is_driver = ccr__image_version(data) == CCR_IMAGE_VERSION_DRIVER;
	message = (const uint8_t *)data + sizeof(struct ccr_image_head);
	size -= sizeof(struct ccr_image_head);
	ret = ccr__image_check_wire(&ccr__pb__manifest__descriptor, message, size, limits,
				    sizeof(limits) / sizeof(limits[0]), name, error, error_size);
	if (ret)
		return ret;
	pb = ccr__pb__manifest__unpack(NULL, size, message);
	if (!pb)
		return ccr__image_error(-EINVAL, error, error_size,
					"%s: message: not the protobuf message of a manifest",
					name);
	ret = check_id("id", &pb->id, name, error, error_size);
	if (!ret && pb->checkpoint.len)
		ret = check_id("checkpoint", &pb->checkpoint, name, error, error_size);
	if (ret)
		goto out_free;
	ret = -ENOMEM;
	image = calloc(1, sizeof(*image));
	if (!image) {
		ccr__image_error(ret, error, error_size, "%s: out of memory", name);
		goto out_free;
	}
	snprintf(image->name, sizeof(image->name), "%s", name);
	image->is_driver = is_driver;
	image->dirfd = -1;
	ret = convert(image, pb, error, error_size);
	if (ret)
		ccr_image_close(image);
	else
		*out = image;
out_free:
	ccr__pb__manifest__free_unpacked(pb, NULL);
	return ret;
}
