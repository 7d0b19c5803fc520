// SPDX-License-Identifier: MIT
/* A job uses as many of the engine's streams and as much of its buffers as its configuration says.
 */
#include <errno.h>

#include "test/transfer/transfer_test.h"

#define NR_RANGES 64

static void start(struct transfer_test *t)
{
	t->config.streams = 8;
	t->config.chunk_bytes = 4 * MIB;
	transfer_start(t, 1);
	for (int i = 0; i < NR_RANGES; i++)
		transfer_add(t, 0, MIB);
}

/* One worker takes part: the image has one stripe, in the order of the ranges. */
static void test_fewer(struct transfer_test *t)
{
	struct cuda_parallel_config config = {.streams = 1, .chunk_bytes = MIB};
	struct ccr_image *image;
	uint64_t offset = 0;

	start(t);
	t->job.config = &config;
	/* The image is described for the job, not for the engine. */
	t->config = config;
	transfer_round_trip(t, 5);
	CHECK(!ccr_image_open(&image, t->dirfd, 5, image_error, 512));
	CHECK(image->nr_stripes == 1 && image->nr_chunks == NR_RANGES);
	for (size_t i = 0; i < image->nr_chunks; i++) {
		if (image->chunks[i].is_zero)
			continue;
		CHECK(image->chunks[i].offset == offset);
		offset += MIB;
	}
	CHECK(offset);
	ccr_image_close(image);
}

static void test_more(struct transfer_test *t)
{
	struct cuda_parallel_config config = {.streams = 32, .chunk_bytes = 64 * MIB};

	start(t);
	t->job.config = &config;
	transfer_round_trip(t, 5); /* with all that the engine has */
	config.streams = 33;
	CHECK(transfer_load(t, 5) == -EINVAL);
	SAYS(t->job.error, "streams is 33", "");
}

int main(void)
{
	transfer_case("fewer than the engine", test_fewer, 1, NULL);
	transfer_case("more than the engine", test_more, 1, NULL);
	return 0;
}
