// SPDX-License-Identifier: MIT
/* The staging buffers: begun before the driver is there, and registered as a whole or in parts. */
#include <sys/mman.h>

#include "transfer/engine/engine.h"
#include "test/transfer/transfer_test.h"

static void add_some(struct transfer_test *t)
{
	for (int i = 0; i < 9; i++)
		transfer_add(t, 0, i * 400 * KIB + 4096);
}

/* The driver refuses the buffers as a whole, but not one by one. */
static void test_registered_in_parts(struct transfer_test *t)
{
	CUdeviceptr address;

	transfer_start(t, 1);
	for (uint32_t i = 0; i < t->config.streams; i++)
		CHECK(t->cuda.cuMemHostGetDevicePointer_v2(
			      &address, transfer_staging_part(t->engine->staging, i), 0) ==
		      CUDA_SUCCESS);
	CHECK(t->engine->staging->nr_registered == t->config.streams);
	add_some(t);
	transfer_round_trip(t, 5);
}

/* Begun while the driver was not there yet: used as they are, and every page is there. */
static void test_begun_before(struct transfer_test *t)
{
	struct cuda_parallel_staging *const staging = cuda_parallel_staging_begin(&t->config);
	const int device = 0;
	unsigned char *resident;

	CHECK(staging);
	transfer_staging_wait(staging);
	resident = malloc(staging->bytes / 4096);
	CHECK(resident && !mincore(staging->memory, staging->bytes, resident));
	for (size_t i = 0; i < staging->bytes / 4096; i++)
		CHECK(resident[i] & 1);
	free(resident);
	CHECK(!cuda_parallel_engine_new(&t->engine, &t->cuda, &t->config, staging, &device, 1,
					image_error, 512));
	CHECK(t->engine->staging == staging);
	CHECK(cuda_parallel_engine_staging(t->engine) == staging->bytes);
	add_some(t);
	transfer_round_trip(t, 5);
}

/* Those of another size are replaced. */
static void test_begun_otherwise(struct transfer_test *t)
{
	struct cuda_parallel_config other = t->config;
	struct cuda_parallel_staging *staging;
	const int device = 0;

	other.streams++;
	staging = cuda_parallel_staging_begin(&other);
	CHECK(staging);
	CHECK(!cuda_parallel_engine_new(&t->engine, &t->cuda, &t->config, staging, &device, 1,
					image_error, 512));
	CHECK(t->engine->staging->nr_parts == t->config.streams);
	add_some(t);
	transfer_round_trip(t, 5);
}

int main(void)
{
	transfer_case("registered in parts", test_registered_in_parts, 1,
		      "cuMemHostRegister_v2:1:2");
	transfer_case("begun before", test_begun_before, 1, NULL);
	transfer_case("begun with another size", test_begun_otherwise, 1, NULL);
	return 0;
}
