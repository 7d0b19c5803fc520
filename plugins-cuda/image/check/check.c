// SPDX-License-Identifier: MIT
/* Checks every number of a manifest before it is used. */
#include "image/format/format.h"
#include "image/check/check.h"

#include <errno.h>
#include <stdlib.h>

struct sink {
	const struct ccr_image *image;
	char *error;
	size_t size;
};

typedef unsigned long long ull;

#define BAD(sink, format, ...)                                                                     \
	ccr__image_error(-EINVAL, (sink)->error, (sink)->size, "%s: " format, (sink)->image->name, \
			 ##__VA_ARGS__)

static bool ends_beyond(uint64_t start, uint64_t length, uint64_t limit)
{
	return length > limit || start > limit - length;
}

static int check_allocations(const struct sink *sink)
{
	const struct ccr_image *image = sink->image;
	uint64_t total = 0;

	for (uint32_t i = 0; i < image->nr_allocations; i++) {
		const struct ccr_image_allocation *a = &image->allocations[i];

		if (!a->size || a->size > CCR_IMAGE_MAX_BYTES - total)
			return BAD(sink, "allocations[%u].size is %llu", i, (ull)a->size);
		total += a->size;
		if (ends_beyond(a->address, a->size, UINT64_MAX))
			return BAD(sink, "allocations[%u].address is 0x%llx (%llu bytes)", i,
				   (ull)a->address, (ull)a->size);
		if (a->requested > a->size)
			return BAD(sink, "allocations[%u].requested is %llu of %llu bytes", i,
				   (ull)a->requested, (ull)a->size);
		if (a->device >= image->nr_devices)
			return BAD(sink, "allocations[%u].device is %u of %u devices", i, a->device,
				   image->nr_devices);
	}
	return 0;
}

/* The driver's memory is one range per device, and a process has nothing else beside it. */
static int check_driver(const struct sink *sink)
{
	const struct ccr_image *image = sink->image;

	for (uint32_t i = 0; i < image->nr_allocations; i++) {
		const struct ccr_image_allocation *a = &image->allocations[i];

		if (!(a->flags & CCR_IMAGE_ALLOCATION_DRIVER) == image->is_driver)
			return BAD(sink, "allocations[%u].flags is %u in a manifest of version %u",
				   i, a->flags,
				   image->is_driver ? CCR_IMAGE_VERSION_DRIVER : CCR_IMAGE_VERSION);
		for (uint32_t k = 0; image->is_driver && k < i; k++)
			if (image->allocations[k].device == a->device)
				return BAD(sink, "allocations[%u].device is %u, as before", i,
					   a->device);
	}
	return 0;
}

static int check_imports(const struct sink *sink)
{
	const struct ccr_image *image = sink->image;

	for (uint32_t i = 0; i < image->nr_imports; i++) {
		const struct ccr_image_import *import = &image->imports[i];

		if (image->is_driver)
			return BAD(sink, "imports are in a manifest of version %u",
				   CCR_IMAGE_VERSION_DRIVER);
		if (!import->exporter || import->exporter > INT32_MAX)
			return BAD(sink, "imports[%u].exporter is %u", i, import->exporter);
		if (import->size > CCR_IMAGE_MAX_BYTES)
			return BAD(sink, "imports[%u].size is %llu", i, (ull)import->size);
	}
	return 0;
}

static int check_place(const struct sink *sink, size_t index)
{
	const struct ccr_image_chunk *c = &sink->image->chunks[index];

	if (c->is_zero)
		return c->stripe || c->offset || c->xxh3 ? BAD(sink,
							       "chunks[%zu].zero is set, but the "
							       "chunk has a place in a stripe",
							       index)
							 : 0;
	if (c->stripe >= sink->image->nr_stripes)
		return BAD(sink, "chunks[%zu].stripe is %u of %u stripes", index, c->stripe,
			   sink->image->nr_stripes);
	if (c->offset % CCR_IMAGE_ALIGN ||
	    ends_beyond(c->offset, c->length, sink->image->stripes[c->stripe].size))
		return BAD(sink,
			   "chunks[%zu].offset is %llu (%llu bytes) in stripe %u of %llu bytes",
			   index, (ull)c->offset, (ull)c->length, c->stripe,
			   (ull)sink->image->stripes[c->stripe].size);
	return 0;
}

/* Chunks are sorted by allocation and position, so each must begin where the last one ended. */
static int check_chunks(const struct sink *sink)
{
	const struct ccr_image *image = sink->image;
	uint32_t allocation = 0;
	uint64_t end = 0;

	for (size_t i = 0; i < image->nr_chunks; i++) {
		const struct ccr_image_chunk *c = &image->chunks[i];
		int ret;

		if (allocation < image->nr_allocations &&
		    end == image->allocations[allocation].size) {
			allocation++;
			end = 0;
		}
		if (c->allocation >= image->nr_allocations)
			return BAD(sink, "chunks[%zu].allocation is %u of %u", i, c->allocation,
				   image->nr_allocations);
		if (c->allocation != allocation)
			return BAD(
				sink,
				"chunks[%zu].allocation is %u; the chunks of allocation %u end at "
				"%llu of %llu bytes",
				i, c->allocation, allocation, (ull)end,
				allocation < image->nr_allocations
					? (ull)image->allocations[allocation].size
					: 0ull);
		if (c->position != end)
			return BAD(sink,
				   "chunks[%zu].position is %llu: %s of allocation %u, which is "
				   "covered up to %llu",
				   i, (ull)c->position, c->position < end ? "an overlap" : "a gap",
				   allocation, (ull)end);
		if (!c->length || c->length > image->chunk_size ||
		    ends_beyond(c->position, c->length, image->allocations[allocation].size))
			return BAD(sink,
				   "chunks[%zu].length is %llu at %llu of an allocation of %llu "
				   "bytes (chunk_size %llu)",
				   i, (ull)c->length, (ull)c->position,
				   (ull)image->allocations[allocation].size,
				   (ull)image->chunk_size);
		ret = check_place(sink, i);
		if (ret)
			return ret;
		end += c->length;
	}
	if (allocation < image->nr_allocations && end == image->allocations[allocation].size)
		allocation++;
	if (allocation < image->nr_allocations)
		return BAD(sink, "chunks: allocation %u is covered only up to %llu of %llu bytes",
			   allocation, (ull)end, (ull)image->allocations[allocation].size);
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct ccr_image_chunk *x = *(const struct ccr_image_chunk *const *)a;
	const struct ccr_image_chunk *y = *(const struct ccr_image_chunk *const *)b;

	if (x->stripe != y->stripe)
		return x->stripe < y->stripe ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int check_no_sharing(const struct sink *sink)
{
	const struct ccr_image *image = sink->image;
	const struct ccr_image_chunk **sorted;
	size_t nr = 0;
	int ret = 0;

	sorted = calloc(image->nr_chunks + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < image->nr_chunks; i++)
		if (!image->chunks[i].is_zero)
			sorted[nr++] = &image->chunks[i];
	qsort(sorted, nr, sizeof(*sorted), by_place);
	for (size_t i = 1; i < nr && !ret; i++)
		if (sorted[i]->stripe == sorted[i - 1]->stripe &&
		    sorted[i]->offset < sorted[i - 1]->offset + sorted[i - 1]->length)
			ret = BAD(sink,
				  "chunks[%zu].offset is %llu in stripe %u: an overlap with chunk "
				  "%zu",
				  (size_t)(sorted[i] - image->chunks), (ull)sorted[i]->offset,
				  sorted[i]->stripe, (size_t)(sorted[i - 1] - image->chunks));
	free(sorted);
	return ret;
}

int ccr__image_check(const struct ccr_image *image, char *error, size_t error_size)
{
	const struct sink sink = {image, error, error_size};
	int ret;

	if (image->pid <= 0)
		return BAD(&sink, "pid is %d", image->pid);
	if (!image->chunk_size || image->chunk_size > CCR_IMAGE_MAX_CHUNK ||
	    image->chunk_size % CCR_IMAGE_ALIGN)
		return BAD(&sink, "chunk_size is %llu", (ull)image->chunk_size);
	for (uint32_t i = 0; i < image->nr_stripes; i++)
		if (!image->stripes[i].size || image->stripes[i].size % CCR_IMAGE_ALIGN ||
		    image->stripes[i].size > CCR_IMAGE_MAX_BYTES)
			return BAD(&sink, "stripe_sizes[%u] is %llu", i,
				   (ull)image->stripes[i].size);
	ret = check_allocations(&sink);
	if (!ret)
		ret = check_driver(&sink);
	if (!ret)
		ret = check_imports(&sink);
	if (!ret)
		ret = check_chunks(&sink);
	return ret ? ret : check_no_sharing(&sink);
}
