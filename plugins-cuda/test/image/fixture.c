// SPDX-License-Identifier: MIT
/*
 * Reads the checked-in image test/fixtures/gpu-image, which also tests the
 * TypeScript reader. `image_fixture --write DIR` creates it. Its second
 * allocation has a field that the format no longer has, which readers must
 * ignore. gpu-image-protocol-2 is the same image as 0.1.0 wrote it, which is
 * refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/protocol/protocol.h"
#include "test/image/image_test.h"

#define PID    4242
#define NR     6
#define CHUNKS 4096

static const uint64_t sizes[NR] = {8192, 5000, 4096, 1, 4096, 12000};

static int open_directory(const char *path)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		snprintf(image_error, sizeof(image_error), "%s: %s", path, strerror(errno));
	CHECK(fd >= 0);
	return fd;
}

static void check(const char *path)
{
	struct ccr_image_verify_result result;
	struct ccr_image *image;
	unsigned char expected[12000], found[CHUNKS];
	const int fd = open_directory(path);

	CHECK(!ccr_image_open(&image, fd, PID, image_error, sizeof(image_error)));
	CHECK(!ccr_image_verify(image, 1, &result, image_error, sizeof(image_error)));
	CHECK(result.chunks == 10 && result.zero_chunks == 3);
	CHECK(image->nr_stripes == 2 && image->nr_allocations == NR && image->chunk_size == CHUNKS);
	CHECK(image->allocations[1].id == 101);
	for (size_t i = 0; i < image->nr_chunks; i++) {
		const struct ccr_image_chunk *chunk = &image->chunks[i];

		CHECK(image->allocations[chunk->allocation].size == sizes[chunk->allocation]);
		if (chunk->is_zero)
			continue;
		image_expected(expected, sizes[chunk->allocation], chunk->allocation);
		CHECK(pread(image->stripes[chunk->stripe].fd, found, chunk->length,
			    chunk->offset) == (ssize_t)chunk->length);
		CHECK(!memcmp(found, expected + chunk->position, chunk->length));
	}
	ccr_image_close(image);
	close(fd);
}

static void check_refused(const char *path)
{
	struct ccr_image *image;
	const int fd = open_directory(path);

	CHECK(ccr_image_open(&image, fd, PID, image_error, sizeof(image_error)) ==
	      -EPROTONOSUPPORT);
	CHECK(!strcmp(image_error, "cuda-4242.img: protocol is 2 (criu-cuda 0.1.0); this version "
				   "restores protocol 3 and later: make the checkpoint again"));
	close(fd);
}

/* Those between are supported; an image of a later version names the version to use. */
static void check_range(void)
{
	struct ccr_image image = {.name = "cuda-7.img", .tool = "9.9.9"};

	for (image.protocol = CCR_PROTOCOL_MIN; image.protocol <= CCR_PROTOCOL_VERSION;
	     image.protocol++)
		CHECK(!ccr_image_check_protocol(&image, image_error, sizeof(image_error)));
	CHECK(ccr_image_check_protocol(&image, image_error, sizeof(image_error)) ==
	      -EPROTONOSUPPORT);
	SAYS(image_error, "cuda-7.img: protocol is ", "use version 9.9.9 or later");
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--write")) {
		image_write_chunks(open_directory(argv[2]), PID, sizes, NR, 2, CHUNKS);
		return 0;
	}
	CHECK(argc == 3);
	check(argv[1]);
	check_refused(argv[2]);
	check_range();
	return 0;
}
