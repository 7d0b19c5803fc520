// SPDX-License-Identifier: MIT
/* Allocates, fills and verifies memory. Launches kernels only with cuLaunchKernel. */
#include "workloads/open_driver.h"
#include "workloads/workloads.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPIN_START_SECONDS 60 /* for a busy machine; a GPU takes microseconds */
#define BLOCK		   256
#define GRID_MAX	   1024
#define WORDS_PER_THREAD   64 /* all threads add to one word, so a small buffer gets few threads */

static unsigned int grid_of(const struct buffer *b)
{
	const uint64_t blocks = b->bytes / 8 / (BLOCK * WORDS_PER_THREAD);

	return blocks < 1 ? 1 : blocks > GRID_MAX ? GRID_MAX : blocks;
}

static int fail(struct failure *failure, const char *what, CUresult result)
{
	snprintf(failure->what, sizeof(failure->what), "%s", what);
	failure->result = result;
	return -1;
}

#define TRY(call, ...)                                         \
	do {                                                   \
		const CUresult r_ = w->cuda.call(__VA_ARGS__); \
		if (r_ != CUDA_SUCCESS)                        \
			return fail(failure, #call, r_);       \
	} while (0)

static int find_calls(struct workload *w, struct failure *failure)
{
	const struct driver_call calls[] = {
#define SLOT(name) {#name, (void **)&w->cuda.name},
		WORKLOAD_CALLS(SLOT)
#undef SLOT
	};
	const char *what;
	const CUresult result = open_driver(calls, sizeof(calls) / sizeof(calls[0]), &what);

	return result == CUDA_SUCCESS ? 0 : fail(failure, what, result);
}

static int allocate_vmm(struct workload *w, struct buffer *b, struct failure *failure)
{
	const CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = w->options.device},
	};
	const CUmemAccessDesc access = {.location = prop.location,
					.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
	CUmemGenericAllocationHandle handle;
	size_t granularity, size;

	TRY(cuMemGetAllocationGranularity, &granularity, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
	size = (b->bytes + granularity - 1) / granularity * granularity;
	TRY(cuMemAddressReserve, &b->address, size, 0, 0, 0);
	TRY(cuMemCreate, &handle, size, &prop, 0);
	TRY(cuMemMap, b->address, size, 0, handle, 0);
	TRY(cuMemSetAccess, b->address, size, &access, 1);
	return 0;
}

static int allocate_buffers(struct workload *w, struct failure *failure)
{
	size_t nr = 0;

	for (int i = 0; i < w->options.nr_allocs; i++)
		nr += w->options.allocs[i].count;
	w->buffers = calloc(nr ? nr : 1, sizeof(*w->buffers));
	if (!w->buffers)
		return fail(failure, "allocate the list of allocations", CUDA_ERROR_OUT_OF_MEMORY);
	for (int i = 0; i < w->options.nr_allocs; i++) {
		for (unsigned int k = 0; k < w->options.allocs[i].count; k++) {
			struct buffer *b = &w->buffers[w->nr_buffers];

			b->bytes = w->options.allocs[i].bytes;
			if (!w->options.vmm)
				TRY(cuMemAlloc_v2, &b->address, b->bytes);
			else if (allocate_vmm(w, b, failure))
				return -1;
			w->bytes += b->bytes;
			w->nr_buffers++;
		}
	}
	return 0;
}

int workload_stream_set(struct workload *w, struct stream_set *set, int nr_streams,
			struct failure *failure)
{
	set->nr_streams = nr_streams;
	for (int i = 0; i < nr_streams; i++)
		TRY(cuStreamCreate, &set->streams[i], CU_STREAM_NON_BLOCKING);
	TRY(cuMemAlloc_v2, &set->sums, (w->nr_buffers + 1) * sizeof(uint64_t));
	return 0;
}

static int allocate_host(struct workload *w, struct failure *failure)
{
	CUdeviceptr unused;

	TRY(cuMemHostAlloc, (void **)&w->spin_flags, 2 * sizeof(uint32_t),
	    CU_MEMHOSTALLOC_DEVICEMAP);
	TRY(cuMemHostGetDevicePointer_v2, &unused, w->spin_flags, 0);
	if (w->options.pinned_bytes)
		TRY(cuMemHostAlloc, (void **)&w->pinned, w->options.pinned_bytes, 0);
	if (w->options.host_bytes) {
		w->host = malloc(w->options.host_bytes);
		if (!w->host)
			return fail(failure, "host memory", CUDA_ERROR_OUT_OF_MEMORY);
	}
	return 0;
}

int workload_start(struct workload *w, struct failure *failure)
{
	CUmodule module;
	CUdevice device;

	pthread_rwlock_init(&w->pattern, NULL);
	if (find_calls(w, failure))
		return -1;
	TRY(cuInit, 0);
	TRY(cuDeviceGet, &device, w->options.device);
	TRY(cuDeviceGetName, w->device_name, sizeof(w->device_name), device);
	TRY(cuDevicePrimaryCtxRetain, &w->context, device);
	TRY(cuCtxSetCurrent, w->context);
	TRY(cuModuleLoadData, &module, workload_ptx);
	TRY(cuModuleGetFunction, &w->fill, module, "ccr_fill_u64");
	TRY(cuModuleGetFunction, &w->checksum, module, "ccr_checksum_u64");
	TRY(cuModuleGetFunction, &w->spin, module, "ccr_spin");
	if (allocate_buffers(w, failure) || allocate_host(w, failure) ||
	    workload_stream_set(w, &w->set, w->options.streams, failure))
		return -1;
	return workload_fill(w, w->options.seed, failure);
}

/* All parameters of our kernels are 64-bit values. */
static CUresult launch(struct workload *w, CUfunction function, uint64_t *values, int nr,
		       unsigned int grid, unsigned int block, CUstream stream)
{
	void *params[4];

	for (int i = 0; i < nr; i++)
		params[i] = &values[i];
	return w->cuda.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, 0, stream, params, NULL);
}

int workload_fill(struct workload *w, uint64_t seed, struct failure *failure)
{
	CUresult result = CUDA_SUCCESS;

	if (w->spinning) /* the copies would wait for that kernel forever */
		return fail(failure, "a kernel is spinning", CUDA_ERROR_NOT_READY);
	pthread_rwlock_wrlock(&w->pattern);
	w->options.seed = seed;
	for (size_t i = 0; i < w->nr_buffers && result == CUDA_SUCCESS; i++) {
		const struct buffer *b = &w->buffers[i];
		uint64_t values[] = {b->address, b->bytes / 8, 0, pattern_key(seed, i)};

		result = launch(w, w->fill, values, 4, grid_of(b), BLOCK, NULL);
	}
	if (result == CUDA_SUCCESS)
		result = w->cuda.cuCtxSynchronize();
	if (w->host)
		ccr_pattern_fill(w->host, w->options.host_bytes / 8, 0,
				 pattern_key(seed, 1ull << 32));
	if (w->pinned)
		ccr_pattern_fill(w->pinned, w->options.pinned_bytes / 8, 0,
				 pattern_key(seed, 2ull << 32));
	pthread_rwlock_unlock(&w->pattern);
	return result == CUDA_SUCCESS ? 0 : fail(failure, "fill", result);
}

static int compare(uint64_t found, uint64_t nr_words, uint64_t key, const char *kind, size_t index,
		   uint64_t *checksum, struct failure *failure)
{
	const uint64_t expected = pattern_expected(nr_words, key);

	*checksum += ccr_mix64(found + index);
	if (found == expected)
		return 0;
	failure->result = CUDA_SUCCESS;
	snprintf(failure->what, sizeof(failure->what),
		 "%s %zu has checksum %016llx, expected %016llx", kind, index,
		 (unsigned long long)found, (unsigned long long)expected);
	return -1;
}

/* Launches the checksum kernels in all streams, and then reads the results. */
static int device_sums(struct workload *w, const struct stream_set *set, uint64_t *sums,
		       struct failure *failure)
{
	const int streams = set->nr_streams;

	TRY(cuMemsetD8Async, set->sums, 0, w->nr_buffers * sizeof(uint64_t), set->streams[0]);
	TRY(cuStreamSynchronize, set->streams[0]);
	for (size_t i = 0; i < w->nr_buffers; i++) {
		const struct buffer *b = &w->buffers[i];
		uint64_t values[] = {b->address, b->bytes / 8, 0, set->sums + i * sizeof(uint64_t)};
		const CUresult result = launch(w, w->checksum, values, 4, grid_of(b), BLOCK,
					       set->streams[i % streams]);

		if (result != CUDA_SUCCESS)
			return fail(failure, "cuLaunchKernel", result);
	}
	for (int i = 0; i < streams; i++)
		TRY(cuStreamSynchronize, set->streams[i]);
	TRY(cuMemcpyDtoHAsync_v2, sums, set->sums, w->nr_buffers * sizeof(uint64_t),
	    set->streams[0]);
	TRY(cuStreamSynchronize, set->streams[0]);
	return 0;
}

static int verify_locked(struct workload *w, const struct stream_set *set, uint64_t *sums,
			 uint64_t *checksum, struct failure *failure)
{
	const struct options *o = &w->options;

	if (w->nr_buffers && device_sums(w, set, sums, failure))
		return -1;
	for (size_t i = 0; i < w->nr_buffers; i++)
		if (compare(sums[i], w->buffers[i].bytes / 8, pattern_key(o->seed, i), "allocation",
			    i, checksum, failure))
			return -1;
	if (w->host &&
	    compare(ccr_pattern_checksum(w->host, o->host_bytes / 8, 0), o->host_bytes / 8,
		    pattern_key(o->seed, 1ull << 32), "host memory", 0, checksum, failure))
		return -1;
	if (w->pinned &&
	    compare(ccr_pattern_checksum(w->pinned, o->pinned_bytes / 8, 0), o->pinned_bytes / 8,
		    pattern_key(o->seed, 2ull << 32), "pinned memory", 0, checksum, failure))
		return -1;
	return 0;
}

int workload_verify(struct workload *w, const struct stream_set *set, uint64_t *checksum,
		    struct failure *failure)
{
	uint64_t *sums = malloc((w->nr_buffers + 1) * sizeof(*sums));
	int ret;

	*checksum = 0;
	if (!sums)
		return fail(failure, "allocate the checksums", CUDA_ERROR_OUT_OF_MEMORY);
	pthread_rwlock_rdlock(&w->pattern);
	ret = verify_locked(w, set, sums, checksum, failure);
	pthread_rwlock_unlock(&w->pattern);
	free(sums);
	return ret;
}

/* Allocates, checks and frees; `key` makes the content unique. */
int workload_churn(struct workload *w, const struct stream_set *set, uint64_t key, uint64_t *host,
		   uint64_t words, struct failure *failure)
{
	const CUstream stream = set->streams[0];
	struct buffer b = {.bytes = words * 8};
	uint64_t sum = 0, ignored = 0;
	int ret = -1;

	ccr_pattern_fill(host, words, 0, key);
	TRY(cuMemAlloc_v2, &b.address, b.bytes);
	if (!w->cuda.cuMemcpyHtoDAsync_v2(b.address, host, b.bytes, stream) &&
	    !w->cuda.cuMemsetD8Async(set->sums, 0, sizeof(sum), stream)) {
		uint64_t values[] = {b.address, words, 0, set->sums};

		memset(host, 0, b.bytes);
		ret = launch(w, w->checksum, values, 4, grid_of(&b), BLOCK, stream) ||
		      w->cuda.cuMemcpyDtoHAsync_v2(&sum, set->sums, sizeof(sum), stream) ||
		      w->cuda.cuMemcpyDtoHAsync_v2(host, b.address, b.bytes, stream) ||
		      w->cuda.cuStreamSynchronize(stream);
	}
	TRY(cuMemFree_v2, b.address);
	if (ret)
		return fail(failure, "copy or launch", CUDA_ERROR_UNKNOWN);
	if (compare(sum, words, key, "short-lived allocation", 0, &ignored, failure))
		return -1;
	return compare(ccr_pattern_checksum(host, words, 0), words, key, "copy of an allocation", 0,
		       &ignored, failure);
}

int workload_poke(struct workload *w, size_t buffer, uint64_t offset, struct failure *failure)
{
	CUdeviceptr address;
	CUresult result;
	uint8_t byte = 0;

	if (buffer >= w->nr_buffers || offset >= w->buffers[buffer].bytes)
		return fail(failure, "the offset is outside the allocations",
			    CUDA_ERROR_INVALID_VALUE);
	address = w->buffers[buffer].address + offset;
	pthread_rwlock_wrlock(&w->pattern);
	result = w->cuda.cuMemcpyDtoH_v2(&byte, address, 1);
	byte ^= 1;
	if (result == CUDA_SUCCESS)
		result = w->cuda.cuMemcpyHtoD_v2(address, &byte, 1);
	pthread_rwlock_unlock(&w->pattern);
	return result == CUDA_SUCCESS ? 0 : fail(failure, "poke", result);
}

int workload_spin(struct workload *w, bool start, struct failure *failure)
{
	uint64_t values[1];
	CUdeviceptr flags;
	CUresult result;
	time_t end;

	if (!start) {
		__atomic_store_n(&w->spin_flags[CCR_SPIN_STOP], 1, __ATOMIC_RELEASE);
		TRY(cuCtxSynchronize, );
		w->spinning = false;
		return 0;
	}
	if (w->spinning)
		return fail(failure, "a kernel is spinning", CUDA_ERROR_NOT_READY);
	__atomic_store_n(&w->spin_flags[CCR_SPIN_STOP], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&w->spin_flags[CCR_SPIN_RUNNING], 0, __ATOMIC_RELEASE);
	TRY(cuMemHostGetDevicePointer_v2, &flags, w->spin_flags, 0);
	values[0] = flags;
	result = launch(w, w->spin, values, 1, 1, 1, NULL);
	if (result != CUDA_SUCCESS)
		return fail(failure, "cuLaunchKernel", result);
	w->spinning = true;
	end = time(NULL) + SPIN_START_SECONDS;
	while (!__atomic_load_n(&w->spin_flags[CCR_SPIN_RUNNING], __ATOMIC_ACQUIRE))
		if (time(NULL) > end)
			return fail(failure, "the kernel did not start", CUDA_ERROR_TIMEOUT);
	return 0;
}

void workload_stop(struct workload *w)
{
	struct failure ignored;

	if (w->spinning)
		workload_spin(w, false, &ignored);
}
