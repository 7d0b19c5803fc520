// SPDX-License-Identifier: MIT
/* One rank: its start, and the requests that it answers. */
#include "workloads/ranks/ranks.h"
#include "workloads/open_driver.h"
#include "workloads/workloads.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int rank_fail(struct rank *r, const char *what, CUresult result)
{
	pthread_mutex_lock(&r->lock);
	if (!r->has_failed)
		snprintf(r->failure, sizeof(r->failure), "rank %d: %s: %s", r->number, what,
			 result ? ccr_cuda_error_name(result) : "wrong data");
	r->has_failed = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return -1;
}

static int find_calls(struct rank *r)
{
	const struct driver_call calls[] = {
#define SLOT(name) {#name, (void **)&r->cuda.name},
		RANKS_CALLS(SLOT)
#undef SLOT
	};
	const char *what;
	const CUresult result = open_driver(calls, sizeof(calls) / sizeof(calls[0]), &what);

	return result == CUDA_SUCCESS ? 0 : rank_fail(r, what, result);
}

/* All parameters of our kernels are 64-bit values. */
static int launch(struct rank *r, CUfunction function, CUdeviceptr ptr, uint64_t words,
		  uint64_t last)
{
	uint64_t values[] = {ptr, words, 0, last};
	void *params[] = {&values[0], &values[1], &values[2], &values[3]};

	RANK_TRY(r, cuLaunchKernel, function, 64, 1, 1, 256, 1, 1, 0, r->stream, params, NULL);
	return 0;
}

static int fill(struct rank *r, CUdeviceptr ptr, uint64_t words, uint64_t key)
{
	return launch(r, r->fill, ptr, words, key);
}

static int load_kernels(struct rank *r)
{
	CUmodule module;

	RANK_TRY(r, cuModuleLoadData, &module, workload_ptx);
	RANK_TRY(r, cuModuleGetFunction, &r->fill, module, "ccr_fill_u64");
	RANK_TRY(r, cuModuleGetFunction, &r->checksum, module, "ccr_checksum_u64");
	RANK_TRY(r, cuModuleLoadData, &module, ranks_ptx);
	RANK_TRY(r, cuModuleGetFunction, &r->reduce, module, "ccr_all_reduce");
	return 0;
}

static int start(struct rank *r)
{
	const struct ranks_options *o = r->options;
	CUdevice device;

	if (find_calls(r))
		return -1;
	RANK_TRY(r, cuInit, 0);
	RANK_TRY(r, cuDeviceGet, &device, r->number % o->devices);
	RANK_TRY(r, cuDevicePrimaryCtxRetain, &r->context, device);
	RANK_TRY(r, cuCtxSetCurrent, r->context);
	RANK_TRY(r, cuStreamCreate, &r->stream, CU_STREAM_NON_BLOCKING);
	if (load_kernels(r))
		return -1;
	RANK_TRY(r, cuMemAlloc_v2, &r->table, o->ranks * sizeof(uint64_t));
	RANK_TRY(r, cuMemAlloc_v2, &r->acc, sizeof(uint64_t));
	RANK_TRY(r, cuMemAlloc_v2, &r->sum, sizeof(uint64_t));
	RANK_TRY(r, cuMemsetD8_v2, r->acc, 0, sizeof(uint64_t));
	if (o->alloc_bytes) {
		RANK_TRY(r, cuMemAlloc_v2, &r->alloc, o->alloc_bytes);
		if (fill(r, r->alloc, o->alloc_bytes / 8, pattern_key(PATTERN_OF + 1, r->number)))
			return -1;
	}
	if (share_buffers(r))
		return -1;
	RANK_TRY(r, cuMemcpyHtoD_v2, r->table, r->buffers, o->ranks * sizeof(uint64_t));
	if (fill(r, r->buffers[r->number] + CCR_RANK_HEADER_BYTES, o->words,
		 pattern_key(PATTERN_OF, r->number)))
		return -1;
	RANK_TRY(r, cuCtxSynchronize, );
	return loaders_start(r);
}

int rank_start(struct rank *r)
{
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	return start(r);
}

int rank_check_sum(struct rank *r, CUdeviceptr ptr, uint64_t words, uint64_t expected,
		   const char *what)
{
	uint64_t sum;

	RANK_TRY(r, cuMemsetD8Async, r->sum, 0, sizeof(sum), r->stream);
	if (launch(r, r->checksum, ptr, words, r->sum))
		return -1;
	RANK_TRY(r, cuStreamSynchronize, r->stream);
	RANK_TRY(r, cuMemcpyDtoH_v2, &sum, r->sum, sizeof(sum));
	return sum == expected ? 0 : rank_fail(r, what, CUDA_SUCCESS);
}

static int check_flags(struct rank *r, CUdeviceptr buffer)
{
	uint64_t flags[CCR_RANK_DONE + 1];

	RANK_TRY(r, cuMemcpyDtoH_v2, flags, buffer, sizeof(flags));
	return flags[CCR_RANK_READY] == r->step && flags[CCR_RANK_DONE] == r->step
		       ? 0
		       : rank_fail(r, "a buffer's flags", CUDA_SUCCESS);
}

/* Reads everything, the other ranks' buffers as well, through the mappings of this process. */
static int check_all(struct rank *r)
{
	const struct ranks_options *o = r->options;
	CUdeviceptr table[MAX_RANKS];
	uint64_t acc;

	RANK_TRY(r, cuCtxSetCurrent, r->context);
	RANK_TRY(r, cuMemcpyDtoH_v2, &acc, r->acc, sizeof(acc));
	if (acc != loop_expected_acc(o, r->step))
		return rank_fail(r, "the accumulated sum", CUDA_SUCCESS);
	RANK_TRY(r, cuMemcpyDtoH_v2, table, r->table, o->ranks * sizeof(uint64_t));
	if (memcmp(table, r->buffers, o->ranks * sizeof(uint64_t)))
		return rank_fail(r, "the table of buffers", CUDA_SUCCESS);
	for (int i = 0; i < o->ranks; i++)
		if (check_flags(r, r->buffers[i]) ||
		    rank_check_sum(r, r->buffers[i] + CCR_RANK_HEADER_BYTES, o->words,
				   loop_expected_sum(o, i, r->step), "a buffer"))
			return -1;
	return r->alloc ? rank_check_sum(r, r->alloc, o->alloc_bytes / 8,
					 pattern_expected(o->alloc_bytes / 8,
							  pattern_key(PATTERN_OF + 1, r->number)),
					 "the private memory")
			: 0;
}

/* Flips a bit of this rank's data, for tests of the checks. */
static int poke(struct rank *r)
{
	const CUdeviceptr address = r->buffers[r->number] + CCR_RANK_HEADER_BYTES;
	uint8_t byte;

	RANK_TRY(r, cuCtxSetCurrent, r->context);
	RANK_TRY(r, cuMemcpyDtoH_v2, &byte, address, 1);
	byte ^= 1;
	RANK_TRY(r, cuMemcpyHtoD_v2, address, &byte, 1);
	return 0;
}

/* Waits until the loop has made so many steps (0: any number) or has ended. */
static void await(struct rank *r, uint64_t step)
{
	pthread_mutex_lock(&r->lock);
	while (r->is_running && (!step || r->step < step))
		pthread_cond_wait(&r->changed, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static bool is_running(struct rank *r)
{
	bool is;

	pthread_mutex_lock(&r->lock);
	is = r->is_running;
	pthread_mutex_unlock(&r->lock);
	return is;
}

static void answer_state(struct rank *r, char *reply, size_t size)
{
	pthread_mutex_lock(&r->lock);
	if (r->has_failed)
		snprintf(reply, size, "error %s", r->failure);
	else
		snprintf(reply, size, "ok running=%d step=%" PRIu64 " acc=%016" PRIx64,
			 r->is_running, r->step, r->acc_value);
	pthread_mutex_unlock(&r->lock);
}

void rank_answer(struct rank *r, const char *request, char *reply, size_t size)
{
	unsigned long long step;

	if (!strcmp(request, "start")) {
		loop_start(r);
	} else if (!strcmp(request, "stop")) {
		pthread_mutex_lock(&r->lock);
		r->stop_wanted = r->is_running;
		pthread_mutex_unlock(&r->lock);
	} else if (!strcmp(request, "end")) {
		await(r, 0);
	} else if (sscanf(request, "await %llu", &step) == 1) {
		await(r, step);
	} else if (!strcmp(request, "sum")) {
		if (is_running(r)) {
			snprintf(reply, size, "error the loop runs: stop it first");
			return;
		}
		check_all(r);
	} else if (!strcmp(request, "poke")) {
		poke(r);
	}
	answer_state(r, reply, size);
}
