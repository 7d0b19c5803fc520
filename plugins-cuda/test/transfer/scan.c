// SPDX-License-Identifier: MIT
/*
 * Zeroes that are found on the device: which chunks are not copied, that every other
 * byte is, and what happens when the driver refuses a step.
 */
#include <errno.h>
#include <stdlib.h>

#include "image/checksum/checksum.h"
#include "test/transfer/transfer_test.h"

#define NR 7

/* What each range has; all other bytes are zero. */
static unsigned char *contents[NR];

static void add(struct transfer_test *t, int device, uint64_t bytes)
{
	const uint32_t index = t->nr;

	transfer_add(t, device, bytes);
	contents[index] = calloc(1, bytes);
	CHECK(contents[index]);
}

static void put(const struct transfer_test *t, uint32_t range, uint64_t at)
{
	CHECK(at < t->ranges[range].bytes);
	contents[range][at] = 1 + at % 255;
}

/* One non-zero byte in places where it could be missed, and ranges that no chunk divides. */
static void add_content(struct transfer_test *t, int devices)
{
	add(t, 0, 5 * MIB); /* chunks 0 and 4 are zero */
	put(t, 0, MIB);
	put(t, 0, 3 * MIB - 1);
	put(t, 0, 3 * MIB + 500 * KIB + 3);
	add(t, devices - 1, 3 * MIB + 64 * KIB); /* only the last byte */
	put(t, 1, 3 * MIB + 64 * KIB - 1);
	add(t, 0, 2 * MIB + 8 * KIB + 16); /* the first byte of the last, short chunk */
	put(t, 2, 2 * MIB);
	add(t, 0, 2 * MIB + 7); /* a chunk that the kernel cannot read */
	put(t, 3, 2 * MIB + 6);
	add(t, devices - 1, MIB + 4099); /* the same, of zeroes */
	add(t, 0, 16);
	add(t, 0, 3 * MIB);
	for (uint32_t i = 0; i < NR; i++) {
		CUcontext context;

		CHECK(!t->cuda.cuDevicePrimaryCtxRetain(&context, t->ranges[i].device));
		CHECK(!t->cuda.cuCtxSetCurrent(context));
		CHECK(!t->cuda.cuMemcpyHtoD_v2(t->ranges[i].address, contents[i],
					       t->ranges[i].bytes));
	}
}

#define NR_DATA_CHUNKS 6

static void check_content(struct transfer_test *t)
{
	for (uint32_t i = 0; i < t->nr; i++) {
		unsigned char *found = malloc(t->ranges[i].bytes);

		CHECK(found);
		CHECK(!t->cuda.cuMemcpyDtoH_v2(found, t->ranges[i].address, t->ranges[i].bytes));
		CHECK(!memcmp(found, contents[i], t->ranges[i].bytes));
		free(found);
	}
}

/* The chunks of the image are zero where the content is, however that was found. */
static void check_image(struct transfer_test *t, int pid)
{
	uint64_t nr_data = 0, zero_bytes = 0;
	struct ccr_image *image;

	CHECK(!ccr_image_open(&image, t->dirfd, pid, image_error, 512));
	for (size_t i = 0; i < image->nr_chunks; i++) {
		const struct ccr_image_chunk *chunk = &image->chunks[i];
		const unsigned char *data = contents[chunk->allocation] + chunk->position;

		CHECK(chunk->is_zero == ccr_is_zero(data, chunk->length));
		nr_data += !chunk->is_zero;
		zero_bytes += chunk->is_zero ? chunk->length : 0;
	}
	CHECK(nr_data == NR_DATA_CHUNKS);
	CHECK(zero_bytes == t->job.zero_bytes);
	ccr_image_close(image);
}

static void dump(struct transfer_test *t, int pid)
{
	const int ret = transfer_dump(t, pid);

	if (ret)
		fprintf(stderr, "dump: %s\n", t->job.error);
	CHECK(!ret);
	check_image(t, pid);
}

static void load(struct transfer_test *t, int pid)
{
	transfer_clear(t);
	CHECK(!transfer_load(t, pid));
	check_content(t);
}

/* Zeroes of the chunks that the kernel can read: all but the last one of range 4. */
static uint64_t expected_zeroes(const struct transfer_test *t)
{
	return t->job.zero_bytes - 4099;
}

static void start(struct transfer_test *t, int devices)
{
	transfer_start(t, devices);
	add_content(t, devices);
}

/* The injected failure of a copy proves that there was none for the zeroes. */
static void test_only_data_moves(struct transfer_test *t)
{
	t->config.scan = CCR_SCAN_ON;
	start(t, 1);
	dump(t, 5);
	CHECK(!*t->job.scan_error && t->job.scan_seconds > 0);
	CHECK(t->job.scan_zero_bytes == expected_zeroes(t));
	load(t, 5);
	CHECK(transfer_dump(t, 6) == -EIO);
	SAYS(t->job.error, "cuMemcpyDtoHAsync", "ILLEGAL_ADDRESS");
}

static void test_everything_moves(struct transfer_test *t)
{
	t->config.scan = CCR_SCAN_OFF;
	start(t, 1);
	CHECK(transfer_dump(t, 5) == -EIO);
	dump(t, 5);
	CHECK(!*t->job.scan_error && !t->job.scan_zero_bytes && !t->job.scan_seconds);
	load(t, 5);
}

/* Little memory: not worth the compiler's time. */
static void test_automatic(struct transfer_test *t)
{
	start(t, 1);
	dump(t, 5);
	CHECK(!*t->job.scan_error && !t->job.scan_zero_bytes && !t->job.scan_seconds);
	load(t, 5);
}

static void test_two_devices(struct transfer_test *t)
{
	t->config.scan = CCR_SCAN_ON;
	start(t, 2);
	for (int pid = 5; pid < 8; pid++) {
		dump(t, pid);
		CHECK(!*t->job.scan_error);
		CHECK(t->job.scan_zero_bytes == expected_zeroes(t));
		load(t, pid);
	}
}

static uint32_t first_ready;

static void note_first(void *argument, uint32_t range)
{
	if (first_ready == NR)
		first_ready = range;
}

/* A long run of zeroes is set while the worker waits for its first copy, not after all of them. */
static void test_zeroes_first(struct transfer_test *t)
{
	t->config.streams = 1;
	transfer_start(t, 1);
	add(t, 0, 4 * MIB);
	for (uint64_t at = 0; at < 4 * MIB; at += 4096)
		put(t, 0, at);
	add(t, 0, 20 * MIB);
	for (int i = 0; i < 2; i++)
		CHECK(!t->cuda.cuMemcpyHtoD_v2(t->ranges[i].address, contents[i],
					       t->ranges[i].bytes));
	CHECK(!transfer_dump(t, 5));
	transfer_clear(t);
	first_ready = NR;
	t->job.ready = note_first;
	CHECK(!transfer_load(t, 5));
	CHECK(first_ready == 1);
	check_content(t);
}

static const char *failing_call; /* SAYS looks for it */

/* The first dump is as without a scan and says why; the next one has the scan. */
static void test_refused(struct transfer_test *t)
{
	t->config.scan = CCR_SCAN_ON;
	start(t, 1);
	dump(t, 5);
	SAYS(t->job.scan_error, "device 0", failing_call);
	CHECK(!t->job.scan_zero_bytes);
	load(t, 5);
	dump(t, 5);
	CHECK(!*t->job.scan_error);
	CHECK(t->job.scan_zero_bytes == expected_zeroes(t));
	load(t, 5);
}

/* One of two devices: the zeroes of the other one are found there. */
static void test_one_refused(struct transfer_test *t)
{
	t->config.scan = CCR_SCAN_ON;
	start(t, 2);
	dump(t, 5);
	SAYS(t->job.scan_error, "cuLaunchKernel", "CUDA_ERROR_LAUNCH_FAILED");
	CHECK(t->job.scan_zero_bytes > 0 && t->job.scan_zero_bytes < expected_zeroes(t));
	load(t, 5);
}

static void refused(void)
{
	static const struct {
		const char *fail, *call;
	} cases[] = {
		{"cuModuleLoadData:1:209", "cuModuleLoadData: CUDA_ERROR_NO_BINARY_FOR_GPU"},
		{"cuModuleGetFunction:1:500", "cuModuleGetFunction: CUDA_ERROR_NOT_FOUND"},
		{"cuMemHostRegister_v2:2:2", "cuMemHostRegister_v2: CUDA_ERROR_OUT_OF_MEMORY"},
		{"cuMemHostGetDevicePointer_v2:1:1", "cuMemHostGetDevicePointer_v2: "},
		{"cuStreamCreate:3:2", "cuStreamCreate: CUDA_ERROR_OUT_OF_MEMORY"},
		{"cuLaunchKernel:1:719", "cuLaunchKernel: CUDA_ERROR_LAUNCH_FAILED"},
		{"cuStreamSynchronize:1:719", "cuStreamSynchronize: CUDA_ERROR_LAUNCH_FAILED"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		failing_call = cases[i].call;
		transfer_case(cases[i].fail, test_refused, 1, cases[i].fail);
	}
}

int main(void)
{
	transfer_case("only data moves", test_only_data_moves, 1, "cuMemcpyDtoHAsync_v2:8:700");
	transfer_case("everything moves", test_everything_moves, 1, "cuMemcpyDtoHAsync_v2:8:700");
	transfer_case("automatic", test_automatic, 1, NULL);
	transfer_case("two devices", test_two_devices, 2, NULL);
	transfer_case("zeroes first", test_zeroes_first, 1, NULL);
	refused();
	transfer_case("one refused", test_one_refused, 2, "cuLaunchKernel:1:719");
	return 0;
}
