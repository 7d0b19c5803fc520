// SPDX-License-Identifier: MIT
#include "image/write/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/protocol/protocol.h"

void ccr__image_temporary_name(char *out, const char *name)
{
	snprintf(out, CCR_IMAGE_NAME_MAX, "%.*s.tmp", CCR_IMAGE_NAME_MAX - 5, name);
}

static int check_options(const struct ccr_image_options *options, int pid, char *error, size_t size)
{
	if (pid <= 0)
		return ccr__image_error(-EINVAL, error, size,
					"the pid of a GPU image is %d; accepted: 1 and more", pid);
	if (!options->nr_writers || options->nr_writers > CCR_IMAGE_MAX_STRIPES)
		return ccr__image_error(-EINVAL, error, size, "%u writers; accepted: 1-%u",
					options->nr_writers, CCR_IMAGE_MAX_STRIPES);
	if (!options->chunk_size || options->chunk_size > CCR_IMAGE_MAX_CHUNK ||
	    options->chunk_size % CCR_IMAGE_ALIGN)
		return ccr__image_error(-EINVAL, error, size,
					"chunks of %llu bytes are not accepted",
					(unsigned long long)options->chunk_size);
	return 0;
}

static int describe(struct ccr_image *draft, int pid, const struct ccr_image_options *options)
{
	struct timespec now;

	draft->pid = pid;
	ccr_image_manifest_name(draft->name, pid);
	draft->driver_version = options->driver_version;
	draft->protocol = options->protocol ? options->protocol : CCR_PROTOCOL_VERSION;
	draft->chunk_size = options->chunk_size;
	draft->is_driver = options->is_driver;
	memcpy(draft->checkpoint, options->checkpoint, sizeof(draft->checkpoint));
	snprintf(draft->tool, sizeof(draft->tool), "%s", CCR_VERSION);
	clock_gettime(CLOCK_REALTIME, &now);
	draft->created_ns = now.tv_sec * 1000000000ull + now.tv_nsec;
	if (getrandom(draft->id, sizeof(draft->id), 0) != sizeof(draft->id))
		return -EIO;
	return 0;
}

static int make_stripes(struct ccr_image_writer *writer)
{
	const size_t bytes = writer->options.nr_writers * sizeof(*writer->stripes);

	writer->stripes = aligned_alloc(alignof(struct writer_stripe), bytes);
	if (!writer->stripes)
		return -ENOMEM;
	writer->nr_stripes = writer->options.nr_writers;
	memset(writer->stripes, 0, bytes);
	for (uint32_t i = 0; i < writer->options.nr_writers; i++) {
		char name[CCR_IMAGE_NAME_MAX];

		writer->stripes[i].file.fd = -1;
		ccr_image_stripe_name(name, writer->draft.pid, i);
		ccr__image_temporary_name(writer->stripes[i].file.name, name);
	}
	return 0;
}

int ccr_image_writer_begin(struct ccr_image_writer **out, int dirfd, int pid,
			   const struct ccr_image_options *options, char *error, size_t error_size)
{
	struct ccr_image_writer *writer;
	int ret;

	ret = check_options(options, pid, error, error_size);
	if (ret)
		return ret;
	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return ccr__image_error(-ENOMEM, error, error_size, "out of memory");
	writer->options = *options;
	writer->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	ret = writer->dirfd < 0 ? -errno : describe(&writer->draft, pid, options);
	if (!ret)
		ret = make_stripes(writer);
	if (ret) {
		ccr__image_writer_free(writer);
		return ccr__image_error(ret, error, error_size, "images directory: %s",
					strerror(-ret));
	}
	*out = writer;
	return 0;
}

/* Doubles whenever `nr` is a power of two, so the capacity need not be stored. */
static void *grow(void *array, uint32_t nr, size_t entry_size)
{
	if (nr & (nr - 1))
		return array;
	return realloc(array, (nr ? 2 * (size_t)nr : 1) * entry_size);
}

int ccr_image_writer_add_device(struct ccr_image_writer *writer,
				const struct ccr_image_device *device)
{
	struct ccr_image *draft = &writer->draft;
	struct ccr_image_device *devices;

	if (draft->nr_devices >= CCR_IMAGE_MAX_DEVICES)
		return -E2BIG;
	devices = grow(draft->devices, draft->nr_devices, sizeof(*devices));
	if (!devices)
		return -ENOMEM;
	draft->devices = devices;
	devices[draft->nr_devices++] = *device;
	return 0;
}

int ccr_image_writer_add_allocation(struct ccr_image_writer *writer,
				    const struct ccr_image_allocation *allocation)
{
	struct ccr_image *draft = &writer->draft;
	struct ccr_image_allocation *allocations;

	if (draft->nr_allocations >= CCR_IMAGE_MAX_ALLOCATIONS)
		return -E2BIG;
	allocations = grow(draft->allocations, draft->nr_allocations, sizeof(*allocations));
	if (!allocations)
		return -ENOMEM;
	draft->allocations = allocations;
	allocations[draft->nr_allocations++] = *allocation;
	return 0;
}

int ccr_image_writer_add_import(struct ccr_image_writer *writer,
				const struct ccr_image_import *import)
{
	struct ccr_image *draft = &writer->draft;
	struct ccr_image_import *imports;

	if (draft->nr_imports >= CCR_IMAGE_MAX_ALLOCATIONS)
		return -E2BIG;
	imports = grow(draft->imports, draft->nr_imports, sizeof(*imports));
	if (!imports)
		return -ENOMEM;
	draft->imports = imports;
	imports[draft->nr_imports++] = *import;
	return 0;
}

uint32_t ccr_image_writer_nr_allocations(const struct ccr_image_writer *writer)
{
	return writer->draft.nr_allocations;
}

const struct ccr_image_allocation *
ccr_image_writer_allocation(const struct ccr_image_writer *writer, uint32_t index)
{
	return &writer->draft.allocations[index];
}

uint64_t ccr_image_writer_chunk_size(const struct ccr_image_writer *writer)
{
	return writer->options.chunk_size;
}

uint32_t ccr_image_writer_nr_writers(const struct ccr_image_writer *writer)
{
	return writer->options.nr_writers;
}

int ccr_image_writer_dirfd(const struct ccr_image_writer *writer)
{
	return writer->dirfd;
}

void ccr__image_writer_free(struct ccr_image_writer *writer)
{
	for (uint32_t i = 0; i < writer->nr_stripes; i++) {
		if (writer->stripes[i].file.fd >= 0)
			close(writer->stripes[i].file.fd);
		free(writer->stripes[i].chunks);
	}
	free(writer->draft.allocations);
	free(writer->draft.imports);
	free(writer->draft.devices);
	free(writer->draft.chunks);
	free(writer->draft.stripes);
	free(writer->stripes);
	if (writer->dirfd >= 0)
		close(writer->dirfd);
	free(writer);
}

void ccr_image_writer_abort(struct ccr_image_writer *writer)
{
	if (!writer)
		return;
	for (uint32_t i = 0; i < writer->nr_stripes; i++)
		if (writer->stripes[i].is_created)
			unlinkat(writer->dirfd, writer->stripes[i].file.name, 0);
	ccr__image_writer_free(writer);
}
