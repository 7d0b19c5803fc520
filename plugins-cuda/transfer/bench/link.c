// SPDX-License-Identifier: MIT
/* Speed of the link to the device without images, to compare loads from memory with. */
#include <sys/mman.h>

#include "transfer/bench/bench.h"

#define REPEATS 8
#define LARGEST (256ull << 20)

static unsigned char *touch(uint64_t bytes, double *gb_per_second)
{
	unsigned char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const double start = bench_now();

	if (memory == MAP_FAILED)
		bench_die("out of memory");
	for (uint64_t at = 0; at < bytes; at += 4096)
		memory[at] = at >> 12;
	*gb_per_second = bytes / (bench_now() - start) / 1e9;
	return memory;
}

/* See bench.h. */
void bench_measure_link(const struct bench_memory *memory, struct bench_link *link)
{
	const struct ccr_cuda *cuda = memory->cuda;
	const CUdeviceptr to = memory->ranges[0].address;
	const uint64_t bytes =
		memory->ranges[0].bytes < LARGEST ? memory->ranges[0].bytes : LARGEST;
	unsigned char *from = touch(bytes, &link->page_faults);
	double start;

	bench_cuda(cuda->cuCtxSetCurrent(memory->contexts[0]), "cuCtxSetCurrent");
	/* The first copy is not timed: it wakes the device up. */
	bench_cuda(cuda->cuMemcpyHtoD_v2(to, from, bytes), "cuMemcpyHtoD");
	start = bench_now();
	for (int i = 0; i < REPEATS; i++)
		bench_cuda(cuda->cuMemcpyHtoD_v2(to, from, bytes), "cuMemcpyHtoD");
	link->pageable = REPEATS * bytes / (bench_now() - start) / 1e9;

	bench_cuda(cuda->cuMemHostRegister_v2(from, bytes, 0), "cuMemHostRegister");
	start = bench_now();
	for (int i = 0; i < REPEATS; i++)
		bench_cuda(cuda->cuMemcpyHtoDAsync_v2(to, from, bytes, NULL), "cuMemcpyHtoDAsync");
	bench_cuda(cuda->cuCtxSynchronize(), "cuCtxSynchronize");
	link->pinned = REPEATS * bytes / (bench_now() - start) / 1e9;
	bench_cuda(cuda->cuMemHostUnregister(from), "cuMemHostUnregister");
	munmap(from, bytes);
}
