// SPDX-License-Identifier: MIT
/*
 * Finds chunks of zeroes on the device, before anything is copied. Memory that a
 * server has reserved and not yet written, such as most of a KV cache, then never
 * crosses the link.
 *
 * A chunk that is wrongly taken for zeroes would be lost, so:
 *  - the memory does not change between the scan and the copy: the application's
 *    gate is closed and its contexts were synchronized before the engine was given
 *    the memory, and nothing else writes to it;
 *  - a chunk is zero only if the kernel has said so after it read every byte. An
 *    entry that no thread block has reached is copied, as is everything after an
 *    error of the driver;
 *  - what is copied is compared and has its checksum as without a scan.
 * Where the kernel cannot run, the host finds the zeroes, after the copy.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "common/scan_kernel.h"
#include "transfer/engine/engine.h"

/*
 * The driver compiles the kernel when the process first needs it, which takes as
 * long as copying about this much.
 */
#define WORTH_BYTES (2ull << 30)
/* Small reads that tell whether there are that many zeroes. */
#define NR_SAMPLES   128
#define SAMPLE_BYTES 256

struct scan {
	struct transfer_task *task;
	struct ccr_image_chunk *chunks;
	int device;
	pthread_t thread;
	bool has_thread;
	uint64_t zero_bytes;
	char error[TRANSFER_SCAN_ERROR];
	/* only while it runs */
	struct ccr_scan_entry *entries;
	size_t entries_size, nr_entries;
	bool is_registered;
};

static bool failed(struct scan *scan, CUresult result, const char *call)
{
	if (result == CUDA_SUCCESS)
		return false;
	snprintf(scan->error, sizeof(scan->error), "%s: %s", call, ccr_cuda_error_name(result));
	return true;
}

#define FAILS(scan, function, ...) \
	failed(scan, (scan)->task->engine->cuda->function(__VA_ARGS__), #function)

static bool is_mine(const struct scan *scan, const struct ccr_image_chunk *chunk)
{
	return scan->task->ranges[chunk->allocation].device == scan->device;
}

/* Ranges begin and end at pages of the device; if one does not, its last chunk is copied. */
static bool is_readable(const struct scan *scan, const struct ccr_image_chunk *chunk)
{
	const CUdeviceptr address = transfer_address(scan->task, chunk);

	return is_mine(scan, chunk) && address % CCR_SCAN_ALIGN == 0 &&
	       chunk->length % CCR_SCAN_ALIGN == 0;
}

/* Whether a sample of the chunks promises enough zeroes. */
static bool is_worthwhile(struct scan *scan)
{
	const struct transfer_task *task = scan->task;
	const size_t step = task->nr_chunks / NR_SAMPLES + 1;
	uint64_t zero_bytes = 0;

	for (size_t i = 0; i < task->nr_chunks; i += step) {
		const struct ccr_image_chunk *chunk = &scan->chunks[i];
		const uint64_t middle = chunk->length / 2;
		char sample[SAMPLE_BYTES];

		if (!is_mine(scan, chunk) || chunk->length < 2 * sizeof(sample))
			continue;
		if (FAILS(scan, cuMemcpyDtoH_v2, sample, transfer_address(task, chunk) + middle,
			  sizeof(sample)))
			return false;
		if (ccr_is_zero(sample, sizeof(sample)))
			zero_bytes += step * chunk->length;
	}
	return zero_bytes >= WORTH_BYTES;
}

/* The kernel, which is compiled once for each device of the engine. */
static CUfunction find_kernel(struct scan *scan)
{
	struct transfer_device *d = &scan->task->engine->devices[scan->device];
	CUfunction function;

	pthread_mutex_lock(&d->lock);
	if (!d->scan_module && FAILS(scan, cuModuleLoadData, &d->scan_module, transfer_scan_ptx))
		d->scan_module = NULL;
	if (d->scan_module && !d->scan_kernel &&
	    FAILS(scan, cuModuleGetFunction, &d->scan_kernel, d->scan_module, "ccr_find_zeroes"))
		d->scan_kernel = NULL;
	function = d->scan_kernel;
	pthread_mutex_unlock(&d->lock);
	return function;
}

/*
 * Lists the chunks in pinned host memory, which the kernel reads and writes. So a
 * device that is full needs no memory for the scan.
 */
static bool list_chunks(struct scan *scan)
{
	const struct transfer_task *task = scan->task;
	size_t nr = 0;

	for (size_t i = 0; i < task->nr_chunks; i++)
		nr += is_readable(scan, &scan->chunks[i]);
	if (!nr)
		return false;
	scan->entries_size = transfer_round_up(nr * sizeof(*scan->entries));
	scan->entries = mmap(NULL, scan->entries_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (scan->entries == MAP_FAILED) {
		scan->entries = NULL;
		snprintf(scan->error, sizeof(scan->error), "out of memory");
		return false;
	}
	for (size_t i = 0; i < task->nr_chunks; i++)
		if (is_readable(scan, &scan->chunks[i]))
			scan->entries[scan->nr_entries++] = (struct ccr_scan_entry){
				.address = transfer_address(task, &scan->chunks[i]),
				.bytes = scan->chunks[i].length,
			};
	scan->is_registered = !FAILS(scan, cuMemHostRegister_v2, scan->entries, scan->entries_size,
				     CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
	return scan->is_registered;
}

/* Returns once the kernel has ended: only then may the entries be read and freed. */
static bool run_kernel(struct scan *scan, CUfunction kernel)
{
	struct ccr_find_zeroes_params p = {.nr_entries = scan->nr_entries};
	void *params[] = {&p.entries, &p.nr_entries};
	CUdeviceptr entries;
	CUstream stream;
	bool is_good;

	if (FAILS(scan, cuMemHostGetDevicePointer_v2, &entries, scan->entries, 0) ||
	    FAILS(scan, cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING))
		return false;
	p.entries = entries;
	is_good = !FAILS(scan, cuLaunchKernel, kernel, scan->nr_entries, 1, 1, CCR_SCAN_THREADS, 1,
			 1, 0, stream, params, NULL);
	if (is_good)
		is_good = !FAILS(scan, cuStreamSynchronize, stream);
	if (!is_good)
		scan->task->engine->cuda->cuCtxSynchronize();
	scan->task->engine->cuda->cuStreamDestroy_v2(stream);
	return is_good;
}

static void take_answers(struct scan *scan)
{
	size_t entry = 0;

	for (size_t i = 0; i < scan->task->nr_chunks; i++) {
		struct ccr_image_chunk *chunk = &scan->chunks[i];

		if (!is_readable(scan, chunk))
			continue;
		chunk->is_zero = scan->entries[entry++].is_zero == 1;
		if (chunk->is_zero)
			scan->zero_bytes += chunk->length;
	}
}

static void free_entries(struct scan *scan)
{
	if (!scan->entries)
		return;
	/* Memory that the driver does not give back may still be written to. */
	if (scan->is_registered && scan->task->engine->cuda->cuMemHostUnregister(scan->entries))
		return;
	munmap(scan->entries, scan->entries_size);
}

static void *scan_thread(void *argument)
{
	struct scan *scan = argument;
	CUfunction kernel;
	CUcontext context;

	if (transfer_device_context(scan->task->engine, scan->device, &context, scan->error,
				    sizeof(scan->error)) ||
	    FAILS(scan, cuCtxSetCurrent, context))
		return NULL;
	if (scan->task->config->scan == CCR_SCAN_AUTO && !is_worthwhile(scan))
		return NULL;
	kernel = find_kernel(scan);
	if (kernel && list_chunks(scan) && run_kernel(scan, kernel))
		take_answers(scan);
	free_entries(scan);
	return NULL;
}

static bool is_wanted(const struct transfer_task *task)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < task->nr_ranges; i++)
		bytes += task->ranges[i].bytes;
	return task->config->scan == CCR_SCAN_ON ||
	       (task->config->scan == CCR_SCAN_AUTO && bytes >= WORTH_BYTES);
}

/* A thread for each device, since a thread has one current context, and the caller's is its own. */
void transfer_scan(struct transfer_task *task, struct ccr_image_chunk *chunks)
{
	struct scan scans[CUDA_PARALLEL_MAX_DEVICES] = {0};
	struct cuda_parallel_job *job = task->job;
	struct timespec start, end;
	sigset_t all, before;

	if (!is_wanted(task))
		return;
	/* As in the engine's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (uint32_t i = 0; i < task->nr_ranges; i++) {
		struct scan *scan = &scans[task->ranges[i].device];

		if (scan->task)
			continue;
		*scan = (struct scan){.task = task, .chunks = chunks};
		scan->device = task->ranges[i].device;
		scan->has_thread = !pthread_create(&scan->thread, NULL, scan_thread, scan);
		if (!scan->has_thread)
			snprintf(scan->error, sizeof(scan->error), "cannot start a thread");
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	for (int i = 0; i < CUDA_PARALLEL_MAX_DEVICES; i++) {
		if (scans[i].has_thread)
			pthread_join(scans[i].thread, NULL);
		job->scan_zero_bytes += scans[i].zero_bytes;
		if (*scans[i].error && !*job->scan_error)
			snprintf(job->scan_error, sizeof(job->scan_error), "device %d: %s", i,
				 scans[i].error);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	job->scan_seconds = (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9;
}

void transfer_scan_unload(struct transfer_worker *worker)
{
	struct cuda_parallel_engine *engine = worker->engine;
	char ignored[128];

	for (int i = 0; i < CUDA_PARALLEL_MAX_DEVICES; i++)
		if (engine->devices[i].scan_module &&
		    !transfer_device_use(worker, i, ignored, sizeof(ignored)))
			engine->cuda->cuModuleUnload(engine->devices[i].scan_module);
}
