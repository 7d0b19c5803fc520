// SPDX-License-Identifier: MIT
/*
 * Device memory with known content that does not compress: pieces of random
 * bytes, taken from a different offset for each piece, with the piece's number
 * in the first words. Some pieces are zero if requested.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "image/checksum/checksum.h"
#include "transfer/bench/bench.h"

#define PIECE	     (8ull << 20)
#define RANDOM_BYTES (64ull << 20)
#define GRANULARITY  (2ull << 20)

#define CUDA(memory, function, ...) bench_cuda((memory)->cuda->function(__VA_ARGS__), #function)

static uint64_t random_offset(uint64_t number)
{
	return number * 1048583 * 64 % (RANDOM_BYTES - PIECE);
}

static bool is_zero_piece(const struct bench_memory *memory, uint64_t number)
{
	return number * 37 % 100 < memory->zero_percent;
}

/*
 * Whether one byte of a piece of zeroes is not zero, and where: in turn the last, the
 * first, and one in between.
 */
static bool has_byte(const struct bench_memory *memory, uint64_t number, uint64_t bytes,
		     uint64_t *at)
{
	const uint64_t turn = memory->sparse ? number / memory->sparse : 0;
	const uint64_t places[] = {bytes - 1, 0, turn * 7919 % bytes};

	*at = places[turn % 3];
	return memory->sparse && number % memory->sparse == 0;
}

static void use(const struct bench_memory *memory, int device)
{
	CUDA(memory, cuCtxSetCurrent, memory->contexts[device]);
}

static void make_random(struct bench_memory *memory)
{
	uint64_t state = 0x9e3779b97f4a7c15ull;

	memory->random = malloc(RANDOM_BYTES);
	if (!memory->random)
		bench_die("out of memory");
	for (uint64_t i = 0; i < RANDOM_BYTES; i += sizeof(state)) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memcpy(memory->random + i, &state, sizeof(state));
	}
	memory->window = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory->window == MAP_FAILED)
		bench_die("out of memory");
}

static void allocate_one(struct bench_memory *memory, uint32_t index, bool vmm)
{
	struct cuda_parallel_range *range = &memory->ranges[index];
	const CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = range->device},
	};
	const CUmemAccessDesc access = {
		.location = prop.location,
		.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
	};

	use(memory, range->device);
	if (!vmm) {
		CUDA(memory, cuMemAlloc_v2, &range->address, range->bytes);
		return;
	}
	CUDA(memory, cuMemCreate, &memory->handles[index], range->bytes, &prop, 0);
	CUDA(memory, cuMemAddressReserve, &range->address, range->bytes, 0, 0, 0);
	CUDA(memory, cuMemMap, range->address, range->bytes, 0, memory->handles[index], 0);
	CUDA(memory, cuMemSetAccess, range->address, range->bytes, &access, 1);
}

void bench_allocate(struct bench_memory *memory, const struct bench_options *options)
{
	const uint64_t each = options->size / options->allocations / GRANULARITY * GRANULARITY;

	if (!each)
		bench_die("--size leaves less than 2 MiB for each allocation");
	memory->nr = options->allocations;
	memory->nr_devices = options->devices;
	memory->zero_percent = options->zero_percent;
	memory->sparse = options->sparse;
	memory->ranges = calloc(memory->nr, sizeof(*memory->ranges));
	memory->handles = calloc(memory->nr, sizeof(*memory->handles));
	memory->contexts = calloc(memory->nr_devices, sizeof(*memory->contexts));
	memory->scratch = calloc(memory->nr_devices, sizeof(*memory->scratch));
	if (!memory->ranges || !memory->handles || !memory->contexts || !memory->scratch)
		bench_die("out of memory");
	make_random(memory);
	for (uint32_t d = 0; d < memory->nr_devices; d++) {
		CUdevice device;

		CUDA(memory, cuDeviceGet, &device, d);
		CUDA(memory, cuDevicePrimaryCtxRetain, &memory->contexts[d], device);
		use(memory, d);
		CUDA(memory, cuMemAlloc_v2, &memory->scratch[d], RANDOM_BYTES);
		CUDA(memory, cuMemcpyHtoD_v2, memory->scratch[d], memory->random, RANDOM_BYTES);
	}
	CUDA(memory, cuMemHostRegister_v2, memory->window, PIECE, CU_MEMHOSTREGISTER_PORTABLE);
	for (uint32_t i = 0; i < memory->nr; i++) {
		memory->ranges[i].device = i % memory->nr_devices;
		memory->ranges[i].bytes = each;
		allocate_one(memory, i, options->vmm);
	}
}

/* Calls `visit` for every piece, with the piece's unique number. */
static void each_piece(struct bench_memory *memory,
		       void (*visit)(struct bench_memory *memory, uint32_t range, uint64_t number,
				     CUdeviceptr address, uint64_t bytes, void *argument),
		       void *argument)
{
	uint64_t number = 0;

	for (uint32_t i = 0; i < memory->nr; i++) {
		const struct cuda_parallel_range *range = &memory->ranges[i];

		use(memory, range->device);
		for (uint64_t at = 0; at < range->bytes; at += PIECE, number++) {
			const uint64_t left = range->bytes - at;

			visit(memory, i, number, range->address + at, left < PIECE ? left : PIECE,
			      argument);
		}
	}
	for (uint32_t d = 0; d < memory->nr_devices; d++) {
		use(memory, d);
		CUDA(memory, cuCtxSynchronize);
	}
}

static void fill_piece(struct bench_memory *memory, uint32_t range, uint64_t number,
		       CUdeviceptr address, uint64_t bytes, void *argument)
{
	const CUdeviceptr scratch = memory->scratch[memory->ranges[range].device];
	uint64_t at;

	if (is_zero_piece(memory, number)) {
		CUDA(memory, cuMemsetD8_v2, address, 0, bytes);
		if (has_byte(memory, number, bytes, &at))
			CUDA(memory, cuMemsetD8_v2, address + at, 1, 1);
		return;
	}
	CUDA(memory, cuMemcpyDtoD_v2, address, scratch + random_offset(number), bytes);
	CUDA(memory, cuMemsetD32_v2, address, (unsigned int)number + 1, 4);
}

void bench_fill(struct bench_memory *memory)
{
	each_piece(memory, fill_piece, NULL);
}

static void clear_piece(struct bench_memory *memory, uint32_t range, uint64_t number,
			CUdeviceptr address, uint64_t bytes, void *argument)
{
	CUDA(memory, cuMemsetD8_v2, address, 0xa5, bytes);
}

void bench_clear(struct bench_memory *memory)
{
	each_piece(memory, clear_piece, NULL);
}

struct check {
	bool full;
	uint64_t bytes;
};

static bool is_right(const struct bench_memory *memory, uint64_t number, uint64_t bytes)
{
	const unsigned int word = (unsigned int)number + 1;
	const unsigned int head[4] = {word, word, word, word};
	uint64_t at;

	if (is_zero_piece(memory, number)) {
		if (has_byte(memory, number, bytes, &at) && memory->window[at]-- != 1)
			return false;
		return ccr_is_zero(memory->window, bytes);
	}
	return !memcmp(memory->window, head, sizeof(head)) &&
	       !memcmp(memory->window + sizeof(head),
		       memory->random + random_offset(number) + sizeof(head), bytes - sizeof(head));
}

static void check_piece(struct bench_memory *memory, uint32_t range, uint64_t number,
			CUdeviceptr address, uint64_t bytes, void *argument)
{
	struct check *check = argument;
	const bool is_end = range == 0 || range == memory->nr - 1;

	if (!check->full && number % 16 && !is_end)
		return;
	CUDA(memory, cuMemcpyDtoH_v2, memory->window, address, bytes);
	if (!is_right(memory, number, bytes))
		bench_die("allocation %u, piece %llu at 0x%llx: wrong content", range,
			  (unsigned long long)number, address);
	check->bytes += bytes;
}

uint64_t bench_check(struct bench_memory *memory, bool full)
{
	struct check check = {.full = full};

	each_piece(memory, check_piece, &check);
	return check.bytes;
}

void bench_free(struct bench_memory *memory)
{
	for (uint32_t i = 0; i < memory->nr; i++) {
		const struct cuda_parallel_range *range = &memory->ranges[i];

		use(memory, range->device);
		if (!memory->handles[i]) {
			CUDA(memory, cuMemFree_v2, range->address);
			continue;
		}
		CUDA(memory, cuMemUnmap, range->address, range->bytes);
		CUDA(memory, cuMemAddressFree, range->address, range->bytes);
		CUDA(memory, cuMemRelease, memory->handles[i]);
	}
	CUDA(memory, cuMemHostUnregister, memory->window);
	for (uint32_t d = 0; d < memory->nr_devices; d++) {
		use(memory, d);
		CUDA(memory, cuMemFree_v2, memory->scratch[d]);
		CUDA(memory, cuDevicePrimaryCtxRelease_v2, d);
	}
	munmap(memory->window, PIECE);
	free(memory->random);
	free(memory->ranges);
	free(memory->handles);
	free(memory->contexts);
	free(memory->scratch);
}
