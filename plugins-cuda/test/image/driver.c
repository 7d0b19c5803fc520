// SPDX-License-Identifier: MIT
/* GPU images with memory that the driver hands over: their version, and what a reader refuses. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "test/image/image_test.h"

#define BYTES (4 * KIB)

struct image {
	bool is_driver;
	uint32_t nr_devices, nr_allocations;
	uint32_t flags[2], devices[2]; /* of the allocations */
};

/* Returns the result of the commit. */
static int write_image(int dirfd, int pid, const struct image *what)
{
	const struct ccr_image_options options = {
		.nr_writers = 1, .chunk_size = BYTES, .is_driver = what->is_driver};
	struct ccr_image_device device = {.name = "test device"};
	struct ccr_image_writer *writer;
	char bytes[BYTES];

	CHECK(!ccr_image_writer_begin(&writer, dirfd, pid, &options, image_error,
				      sizeof(image_error)));
	for (uint32_t i = 0; i < what->nr_devices; i++) {
		device.uuid[0] = i;
		CHECK(!ccr_image_writer_add_device(writer, &device));
	}
	for (uint32_t i = 0; i < what->nr_allocations; i++) {
		const struct ccr_image_allocation allocation = {.id = i + 1,
								.size = BYTES,
								.device = what->devices[i],
								.flags = what->flags[i]};

		CHECK(!ccr_image_writer_add_allocation(writer, &allocation));
	}
	for (uint32_t i = 0; i < what->nr_allocations; i++) {
		image_pattern(bytes, BYTES, i);
		CHECK(!ccr_image_writer_append(writer, 0, i, 0, bytes, BYTES, image_error,
					       sizeof(image_error)));
	}
	return ccr_image_writer_commit(writer, image_error, sizeof(image_error));
}

static uint32_t version_of(int dirfd, const char *name)
{
	const int fd = openat(dirfd, name, O_RDONLY);
	uint32_t version = 0;

	CHECK(fd >= 0 && pread(fd, &version, sizeof(version), 8) == sizeof(version));
	close(fd);
	return version;
}

static int reopen(int dirfd, int pid, bool *is_driver)
{
	struct ccr_image *image = NULL;
	const int ret = ccr_image_open(&image, dirfd, pid, image_error, sizeof(image_error));

	if (!ret)
		*is_driver = image->is_driver;
	ccr_image_close(image);
	return ret;
}

int main(void)
{
	const struct image two = {true, 2, 2, {2, 2}, {1, 0}}, none = {.is_driver = true};
	const struct image ordinary = {false, 1, 1, {0}, {0}};
	const struct image mixed = {true, 2, 2, {2, 1}, {0, 1}}, hidden = {false, 1, 1, {2}, {0}};
	const struct image twice = {true, 1, 2, {2, 2}, {0, 0}};
	const int dirfd = image_directory();
	const uint32_t unknown = 3, first = 1;
	bool is_driver = false;

	CHECK(!write_image(dirfd, 1, &two) && !reopen(dirfd, 1, &is_driver) && is_driver);
	/* Earlier versions refuse it instead of looking for an interceptor. */
	CHECK(version_of(dirfd, "cuda-1.img") == 2);
	/* A process with a context and no memory. */
	CHECK(!write_image(dirfd, 2, &none) && !reopen(dirfd, 2, &is_driver) && is_driver);
	CHECK(!write_image(dirfd, 3, &ordinary) && !reopen(dirfd, 3, &is_driver) && !is_driver);
	CHECK(version_of(dirfd, "cuda-3.img") == 1);

	CHECK(write_image(dirfd, 4, &mixed) == -EINVAL);
	SAYS(image_error, "cuda-4.img", "allocations[1].flags is 1");
	CHECK(write_image(dirfd, 5, &hidden) == -EINVAL);
	SAYS(image_error, "cuda-5.img", "allocations[0].flags is 2");
	CHECK(write_image(dirfd, 6, &twice) == -EINVAL);
	SAYS(image_error, "cuda-6.img", "allocations[1].device is 0");
	/* The same checks by a reader. */
	image_patch("cuda-1.img", 8, &first, sizeof(first));
	CHECK(reopen(dirfd, 1, &is_driver) == -EINVAL);
	image_patch("cuda-2.img", 8, &unknown, sizeof(unknown));
	CHECK(reopen(dirfd, 2, &is_driver) == -EPROTONOSUPPORT);
	SAYS(image_error, "cuda-2.img", "version is 3");
	return 0;
}
