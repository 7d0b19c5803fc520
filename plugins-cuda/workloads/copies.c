// SPDX-License-Identifier: MIT
/*
 * workload-copies: times copies between host memory and device 0. It answers each
 * line on stdin with a line of JSON, so that a benchmark can ask two processes,
 * with and without the interceptor, in turn.
 *
 *     to_device|to_host  pageable|huge|fresh|pinned  BYTES
 *
 * pageable: touched memory in ordinary pages; huge: in huge pages if the kernel
 * has them; fresh: never touched before (to_host only); pinned: registered.
 * Answer: {"seconds":S,"copies":N} for N consecutive synchronous copies of BYTES.
 * The first sample of each case is checked: a wrong byte ends the program.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "common/driver/driver_calls.h"

/* Small copies are repeated until a sample has this many bytes, up to a limit. */
#define SAMPLE_BYTES (64ull << 20)
#define MAX_COPIES   2000

static struct ccr_cuda cuda;

static struct {
	char kind[16];
	char *memory;
	size_t bytes;
} host;

static struct {
	CUdeviceptr memory;
	size_t bytes;
} device;

static void die(const char *what)
{
	fprintf(stderr, "workload-copies: %s\n", what);
	exit(1);
}

static void ok(CUresult result, const char *call)
{
	if (result == CUDA_SUCCESS)
		return;
	fprintf(stderr, "workload-copies: %s: %s\n", call, ccr_cuda_error_name(result));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void open_driver(void)
{
	const char *path = getenv("CRIU_CUDA_DRIVER");
	struct ccr_driver driver;
	CUcontext ctx;
	char error[512];

	if (ccr_driver_open(&driver, path ? path : "", error, sizeof(error)) ||
	    ccr_cuda_load(&cuda, &driver, error, sizeof(error)))
		die(error);
	ok(cuda.cuInit(0), "cuInit");
	ok(cuda.cuDevicePrimaryCtxRetain(&ctx, 0), "cuDevicePrimaryCtxRetain");
	ok(cuda.cuCtxSetCurrent(ctx), "cuCtxSetCurrent");
}

static void drop_host(void)
{
	if (!host.memory)
		return;
	if (!strcmp(host.kind, "pinned"))
		ok(cuda.cuMemHostUnregister(host.memory), "cuMemHostUnregister");
	munmap(host.memory, host.bytes);
	host.memory = NULL;
}

static void touch(char *memory, size_t bytes)
{
	uint64_t x = 0x9e3779b97f4a7c15ull;

	for (size_t i = 0; i + 8 <= bytes; i += 8) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		memcpy(memory + i, &x, 8);
	}
}

/* Fresh memory is allocated for each sample, other kinds only when they are not large enough. */
static void provide_host(const char *kind, size_t bytes)
{
	const bool is_fresh = !strcmp(kind, "fresh"), is_huge = !strcmp(kind, "huge");

	if (!is_fresh && host.memory && !strcmp(host.kind, kind) && host.bytes >= bytes)
		return;
	drop_host();
	snprintf(host.kind, sizeof(host.kind), "%s", kind);
	host.bytes = bytes;
	host.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (host.memory == MAP_FAILED)
		die("out of memory");
	if (is_fresh)
		return;
	madvise(host.memory, bytes, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	touch(host.memory, bytes);
	if (!strcmp(kind, "pinned"))
		ok(cuda.cuMemHostRegister_v2(host.memory, bytes, 0), "cuMemHostRegister");
}

static void provide_device(size_t bytes)
{
	if (device.bytes >= bytes)
		return;
	if (device.bytes)
		ok(cuda.cuMemFree_v2(device.memory), "cuMemFree");
	ok(cuda.cuMemAlloc_v2(&device.memory, bytes), "cuMemAlloc");
	device.bytes = bytes;
}

static void copy(bool to_device, size_t bytes)
{
	if (to_device)
		ok(cuda.cuMemcpyHtoD_v2(device.memory, host.memory, bytes), "cuMemcpyHtoD");
	else
		ok(cuda.cuMemcpyDtoH_v2(host.memory, device.memory, bytes), "cuMemcpyDtoH");
}

/* Copies over different bytes and compares the result, in pieces too small for the interceptor. */
static void verify(bool to_device, size_t bytes)
{
	static char piece[256 << 10];

	if (to_device)
		ok(cuda.cuMemsetD8_v2(device.memory, 0x5a, bytes), "cuMemsetD8");
	else
		memset(host.memory, 0x5a, bytes);
	copy(to_device, bytes);
	for (size_t at = 0; at < bytes; at += sizeof(piece)) {
		const size_t length = bytes - at < sizeof(piece) ? bytes - at : sizeof(piece);

		ok(cuda.cuMemcpyDtoH_v2(piece, device.memory + at, length), "cuMemcpyDtoH");
		if (memcmp(piece, host.memory + at, length))
			die("a copied byte is wrong");
	}
}

static void answer(bool to_device, const char *kind, size_t bytes, bool is_first)
{
	const bool is_fresh = !strcmp(kind, "fresh");
	size_t copies = SAMPLE_BYTES / bytes;
	double start, seconds;

	copies = copies < 1 || is_fresh ? 1 : copies > MAX_COPIES ? MAX_COPIES : copies;
	provide_device(bytes);
	provide_host(kind, bytes);
	if (is_first && !is_fresh)
		verify(to_device, bytes);
	ok(cuda.cuCtxSynchronize(), "cuCtxSynchronize");
	start = now();
	for (size_t i = 0; i < copies; i++)
		copy(to_device, bytes);
	/* A driver may return from a copy to the device when the bytes are only staged. */
	ok(cuda.cuCtxSynchronize(), "cuCtxSynchronize");
	seconds = now() - start;
	printf("{\"seconds\":%.9f,\"copies\":%zu}\n", seconds, copies);
	fflush(stdout);
}

int main(void)
{
	static const char *const kinds[] = {"pageable", "huge", "fresh", "pinned"};
	char direction[16], kind[16], line[128], last[128] = "";
	unsigned long long bytes;

	open_driver();
	printf("{\"ready\":true}\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		bool is_known = false;

		if (sscanf(line, "%15s %15s %llu", direction, kind, &bytes) != 3 || !bytes)
			die("invalid request; accepted: to_device|to_host KIND BYTES");
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			is_known |= !strcmp(kind, kinds[i]);
		if (!is_known || (strcmp(direction, "to_device") && strcmp(direction, "to_host")))
			die("invalid request; accepted: to_device|to_host "
			    "pageable|huge|fresh|pinned BYTES");
		answer(!strcmp(direction, "to_device"), kind, bytes, strcmp(line, last) != 0);
		memcpy(last, line, sizeof(last));
	}
	drop_host();
	return 0;
}
