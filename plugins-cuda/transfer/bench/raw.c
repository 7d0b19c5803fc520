// SPDX-License-Identifier: MIT
/* Speed of the disk without a device, to compare loads from disk with. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "transfer/bench/bench.h"
#include "transfer/io/io.h"

#define BLOCK (8ull << 20)

struct raw {
	const struct ccr_image *image;
	struct ccr_io_file *files;
	atomic_uint next;
	atomic_ullong bytes;
};

/* Each thread reads whole stripes, from the first byte to the last. */
static void *read_stripes(void *data)
{
	struct raw *raw = data;
	struct ccr_io_queue queue = {0};
	void *buffer = aligned_alloc(4096, BLOCK);
	uint32_t index;

	if (!buffer)
		bench_die("out of memory");
	while ((index = atomic_fetch_add(&raw->next, 1)) < raw->image->nr_stripes) {
		struct ccr_io_file *file = &raw->files[index];

		for (uint64_t at = 0; at < file->size; at += BLOCK) {
			const uint64_t left = file->size - at;
			const uint64_t bytes = left < BLOCK ? left : BLOCK;
			const int ret = ccr_io_direct.read(&queue, file, buffer, bytes, at);

			if (ret)
				bench_die("%s: %s", file->name, strerror(-ret));
			atomic_fetch_add(&raw->bytes, bytes);
		}
	}
	ccr_io_queue_end(&queue);
	free(buffer);
	return NULL;
}

double bench_raw_read(const struct ccr_image *image, uint32_t threads)
{
	struct raw raw = {.image = image};
	pthread_t others[CUDA_PARALLEL_MAX_THREADS];
	const double start = bench_now();

	raw.files = calloc(image->nr_stripes + 1, sizeof(*raw.files));
	if (!raw.files)
		bench_die("out of memory");
	for (uint32_t i = 0; i < image->nr_stripes; i++) {
		raw.files[i].fd = image->stripes[i].fd;
		raw.files[i].name = image->stripes[i].name;
		raw.files[i].size = image->stripes[i].size;
		ccr_io_direct.begin(&raw.files[i], false);
	}
	for (uint32_t i = 0; i < threads; i++)
		if (pthread_create(&others[i], NULL, read_stripes, &raw))
			bench_die("thread");
	for (uint32_t i = 0; i < threads; i++)
		pthread_join(others[i], NULL);
	for (uint32_t i = 0; i < image->nr_stripes; i++)
		ccr_io_direct.end(&raw.files[i]);
	free(raw.files);
	return raw.bytes / (bench_now() - start) / 1e9;
}
