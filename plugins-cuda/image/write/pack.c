// SPDX-License-Identifier: MIT
/* Packs a struct ccr_image to the bytes of a manifest. */
#include "image/format/format.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/checksum/checksum.h"
#include "image.pb-c.h"
#include "image/write/write.h"

/* The structures that protobuf-c needs, with one allocation for each kind. */
struct rows {
	Ccr__Pb__Device *devices;
	Ccr__Pb__Allocation *allocations;
	Ccr__Pb__Chunk *chunks;
	Ccr__Pb__Import *imports;
	Ccr__Pb__Device **device_rows;
	Ccr__Pb__Allocation **allocation_rows;
	Ccr__Pb__Chunk **chunk_rows;
	Ccr__Pb__Import **import_rows;
	uint64_t *stripe_sizes;
};

static void free_rows(struct rows *rows)
{
	free(rows->devices);
	free(rows->allocations);
	free(rows->chunks);
	free(rows->imports);
	free(rows->import_rows);
	free(rows->device_rows);
	free(rows->allocation_rows);
	free(rows->chunk_rows);
	free(rows->stripe_sizes);
}

static int allocate_rows(struct rows *rows, const struct ccr_image *image)
{
	memset(rows, 0, sizeof(*rows));
	rows->devices = calloc(image->nr_devices + 1, sizeof(*rows->devices));
	rows->device_rows = calloc(image->nr_devices + 1, sizeof(*rows->device_rows));
	rows->allocations = calloc(image->nr_allocations + 1, sizeof(*rows->allocations));
	rows->allocation_rows = calloc(image->nr_allocations + 1, sizeof(*rows->allocation_rows));
	rows->chunks = calloc(image->nr_chunks + 1, sizeof(*rows->chunks));
	rows->chunk_rows = calloc(image->nr_chunks + 1, sizeof(*rows->chunk_rows));
	rows->stripe_sizes = calloc(image->nr_stripes + 1, sizeof(*rows->stripe_sizes));
	rows->imports = calloc(image->nr_imports + 1, sizeof(*rows->imports));
	rows->import_rows = calloc(image->nr_imports + 1, sizeof(*rows->import_rows));
	if (rows->imports && rows->import_rows && rows->devices && rows->device_rows &&
	    rows->allocations && rows->allocation_rows && rows->chunks && rows->chunk_rows &&
	    rows->stripe_sizes)
		return 0;
	free_rows(rows);
	return -ENOMEM;
}

static void fill_allocations(struct rows *rows, const struct ccr_image *image)
{
	for (uint32_t i = 0; i < image->nr_allocations; i++) {
		const struct ccr_image_allocation *from = &image->allocations[i];
		Ccr__Pb__Allocation *to = &rows->allocations[i];

		ccr__pb__allocation__init(to);
		to->id = from->id;
		to->address = from->address;
		to->size = from->size;
		to->requested = from->requested;
		to->device = from->device;
		to->flags = from->flags;
		rows->allocation_rows[i] = to;
	}
}

static void fill_chunks(struct rows *rows, const struct ccr_image *image)
{
	for (size_t i = 0; i < image->nr_chunks; i++) {
		const struct ccr_image_chunk *from = &image->chunks[i];
		Ccr__Pb__Chunk *to = &rows->chunks[i];

		ccr__pb__chunk__init(to);
		to->allocation = from->allocation;
		to->position = from->position;
		to->length = from->length;
		to->stripe = from->stripe;
		to->offset = from->offset;
		to->xxh3 = from->xxh3;
		to->zero = from->is_zero;
		rows->chunk_rows[i] = to;
	}
}

static void fill_imports(struct rows *rows, const struct ccr_image *image)
{
	for (uint32_t i = 0; i < image->nr_imports; i++) {
		const struct ccr_image_import *from = &image->imports[i];
		Ccr__Pb__Import *to = &rows->imports[i];

		ccr__pb__import__init(to);
		to->id = from->id;
		to->size = from->size;
		to->exporter = from->exporter;
		to->allocation = from->allocation;
		rows->import_rows[i] = to;
	}
}

static void fill(Ccr__Pb__Manifest *pb, struct rows *rows, const struct ccr_image *image)
{
	for (uint32_t i = 0; i < image->nr_devices; i++) {
		ccr__pb__device__init(&rows->devices[i]);
		rows->devices[i].uuid.data = image->devices[i].uuid;
		rows->devices[i].uuid.len = sizeof(image->devices[i].uuid);
		rows->devices[i].name = image->devices[i].name;
		rows->device_rows[i] = &rows->devices[i];
	}
	fill_allocations(rows, image);
	fill_chunks(rows, image);
	fill_imports(rows, image);
	for (uint32_t i = 0; i < image->nr_stripes; i++)
		rows->stripe_sizes[i] = image->stripes[i].size;
	ccr__pb__manifest__init(pb);
	pb->id.data = (uint8_t *)image->id;
	pb->id.len = sizeof(image->id);
	pb->created = image->created_ns;
	if (!ccr_checkpoint_id_is_none(image->checkpoint)) {
		pb->checkpoint.data = (uint8_t *)image->checkpoint;
		pb->checkpoint.len = sizeof(image->checkpoint);
	}
	pb->tool = (char *)image->tool;
	pb->pid = image->pid;
	pb->driver = image->driver_version;
	pb->protocol = image->protocol;
	pb->chunk_size = image->chunk_size;
	pb->n_devices = image->nr_devices;
	pb->devices = rows->device_rows;
	pb->n_allocations = image->nr_allocations;
	pb->allocations = rows->allocation_rows;
	pb->n_chunks = image->nr_chunks;
	pb->chunks = rows->chunk_rows;
	pb->n_imports = image->nr_imports;
	pb->imports = rows->import_rows;
	pb->n_stripe_sizes = image->nr_stripes;
	pb->stripe_sizes = rows->stripe_sizes;
}

int ccr__image_pack(const struct ccr_image *image, void **data, size_t *size)
{
	Ccr__Pb__Manifest pb;
	struct rows rows;
	int ret = -ENOMEM;

	if (allocate_rows(&rows, image))
		return ret;
	fill(&pb, &rows, image);
	ret = ccr__image_pack_message(
		&pb.base, CCR_IMAGE_MAGIC,
		image->is_driver ? CCR_IMAGE_VERSION_DRIVER : CCR_IMAGE_VERSION, data, size);
	free_rows(&rows);
	return ret;
}
