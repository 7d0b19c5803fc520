// SPDX-License-Identifier: MIT
/*
 * The staging buffers of all workers of an engine: one mapping, in huge pages if the kernel has
 * them, because the driver then has fewer pages to pin. Threads write to it, so that it has its
 * pages, while the driver starts.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "transfer/engine/engine.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_PAGE (2ull << 20)

/* The part of one worker, in whole huge pages. */
static size_t part_bytes(const struct cuda_parallel_config *config)
{
	return (TRANSFER_SLOTS * config->chunk_bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

static void *populate(void *argument)
{
	struct cuda_parallel_staging *staging = argument;
	uint32_t part;

	while ((part = atomic_fetch_add(&staging->next_part, 1)) < staging->nr_parts) {
		char *const memory = transfer_staging_part(staging, part);

		if (madvise(memory, staging->part_bytes, MADV_POPULATE_WRITE))
			memset(memory, 0, staging->part_bytes);
	}
	return NULL;
}

static int map(struct cuda_parallel_staging *staging)
{
	const size_t bytes = staging->nr_parts * staging->part_bytes, room = bytes + HUGE_PAGE;
	char *memory, *aligned;

	memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	aligned = (char *)(((uintptr_t)memory + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	if (aligned != memory)
		munmap(memory, aligned - memory);
	munmap(aligned + bytes, memory + HUGE_PAGE - aligned);
	madvise(aligned, bytes, MADV_HUGEPAGE);
	staging->memory = aligned;
	staging->bytes = bytes;
	return 0;
}

struct cuda_parallel_staging *cuda_parallel_staging_begin(const struct cuda_parallel_config *config)
{
	struct cuda_parallel_staging *staging;
	sigset_t all, before;
	char error[128];

	if (transfer_check_config(config, error, sizeof(error)))
		return NULL;
	staging = calloc(1, sizeof(*staging));
	if (!staging)
		return NULL;
	staging->nr_parts = config->streams;
	staging->part_bytes = part_bytes(config);
	if (map(staging)) {
		free(staging);
		return NULL;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (staging->nr_threads < staging->nr_parts &&
	       !pthread_create(&staging->threads[staging->nr_threads], NULL, populate, staging))
		staging->nr_threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return staging;
}

void transfer_staging_wait(struct cuda_parallel_staging *staging)
{
	while (staging->nr_threads)
		pthread_join(staging->threads[--staging->nr_threads], NULL);
	populate(staging); /* what is left if a thread could not be started */
}

void cuda_parallel_staging_end(struct cuda_parallel_staging *staging)
{
	if (!staging)
		return;
	/* The threads take no more parts. */
	atomic_store(&staging->next_part, staging->nr_parts);
	transfer_staging_wait(staging);
	munmap(staging->memory, staging->bytes);
	free(staging);
}

char *transfer_staging_part(const struct cuda_parallel_staging *staging, uint32_t number)
{
	return staging->memory + number * staging->part_bytes;
}

bool transfer_staging_fits(const struct cuda_parallel_staging *staging,
			   const struct cuda_parallel_config *config)
{
	return staging->nr_parts == config->streams && staging->part_bytes == part_bytes(config);
}

/* Registers parts from the first on. Returns how many; `result` is that of the last call. */
static uint32_t register_parts(const struct ccr_cuda *cuda, struct cuda_parallel_staging *staging,
			       CUresult *result)
{
	uint32_t nr = 0;

	*result = CUDA_SUCCESS;
	while (nr < staging->nr_parts) {
		*result = cuda->cuMemHostRegister_v2(transfer_staging_part(staging, nr),
						     staging->part_bytes,
						     CU_MEMHOSTREGISTER_PORTABLE);
		if (*result != CUDA_SUCCESS)
			break;
		nr++;
	}
	return nr;
}

CUresult transfer_staging_register(const struct ccr_cuda *cuda,
				   struct cuda_parallel_staging *staging)
{
	CUresult result = cuda->cuMemHostRegister_v2(staging->memory, staging->bytes,
						     CU_MEMHOSTREGISTER_PORTABLE);

	staging->is_registered = result == CUDA_SUCCESS;
	if (!staging->is_registered)
		staging->nr_registered = register_parts(cuda, staging, &result);
	return result;
}

void transfer_staging_unregister(const struct ccr_cuda *cuda, struct cuda_parallel_staging *staging)
{
	if (staging->is_registered)
		cuda->cuMemHostUnregister(staging->memory);
	staging->is_registered = false;
	while (staging->nr_registered)
		cuda->cuMemHostUnregister(transfer_staging_part(staging, --staging->nr_registered));
}
