// SPDX-License-Identifier: MIT
/* Reads stored chunks and compares their checksums; several threads share the list of chunks. */
#include "image/format/format.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/io.h"
#include "image/checksum/checksum.h"

/* Small enough to be still in the CPU cache when the checksum is computed. */
#define PIECE	    (256u << 10)
#define MAX_THREADS 64

struct verify {
	const struct ccr_image *image;
	const size_t *chosen; /* chunks; NULL: all of them */
	char *const *into;    /* where each allocation is to be; NULL: only looks */
	bool is_compared;
	size_t nr;
	atomic_size_t next;
	atomic_int result;
	atomic_ullong stored_bytes, zero_chunks;
	pthread_mutex_t lock; /* guards `error` */
	char *error;
	size_t error_size;
};

void ccr_image_explain_checksum(const struct ccr_image *image, size_t chunk, uint64_t found,
				char *error, size_t error_size)
{
	const struct ccr_image_chunk *c = &image->chunks[chunk];

	ccr__image_error(0, error, error_size,
			 "%s: chunk %zu at offset %llu (%llu bytes of allocation %u): xxh3 is "
			 "%016llx, the manifest says %016llx: the file is damaged",
			 image->stripes[c->stripe].name, chunk, (unsigned long long)c->offset,
			 (unsigned long long)c->length, c->allocation, (unsigned long long)found,
			 (unsigned long long)c->xxh3);
}

static void fail(struct verify *verify, size_t chunk, int ret, uint64_t found)
{
	const struct ccr_image_chunk *c = &verify->image->chunks[chunk];

	pthread_mutex_lock(&verify->lock);
	if (!atomic_exchange(&verify->result, ret)) {
		if (ret == -EBADMSG)
			ccr_image_explain_checksum(verify->image, chunk, found, verify->error,
						   verify->error_size);
		else
			ccr__image_error(ret, verify->error, verify->error_size,
					 "%s: read of chunk %zu at %llu: %s",
					 verify->image->stripes[c->stripe].name, chunk,
					 (unsigned long long)c->offset, strerror(-ret));
	}
	pthread_mutex_unlock(&verify->lock);
}

static void verify_chunk(struct verify *verify, size_t index, char *buffer)
{
	const struct ccr_image_chunk *chunk = &verify->image->chunks[index];
	struct ccr_checksum checksum;

	if (chunk->is_zero) {
		atomic_fetch_add(&verify->zero_chunks, 1);
		return;
	}
	ccr_checksum_begin(&checksum);
	for (uint64_t done = 0; done < chunk->length;) {
		const size_t piece = chunk->length - done < PIECE ? chunk->length - done : PIECE;
		char *const at = verify->into
					 ? verify->into[chunk->allocation] + chunk->position + done
					 : buffer;
		const int ret = ccr_io_pread_full(verify->image->stripes[chunk->stripe].fd, at,
						  piece, chunk->offset + done);

		if (ret) {
			fail(verify, index, ret, 0);
			return;
		}
		if (verify->is_compared)
			ccr_checksum_update(&checksum, at, piece);
		done += piece;
	}
	atomic_fetch_add(&verify->stored_bytes, chunk->length);
	if (verify->is_compared && ccr_checksum_end(&checksum) != chunk->xxh3)
		fail(verify, index, -EBADMSG, ccr_checksum_end(&checksum));
}

static void *verify_some(void *data)
{
	struct verify *verify = data;
	char *buffer = malloc(PIECE);

	for (;;) {
		const size_t next = atomic_fetch_add(&verify->next, 1);
		size_t index;

		if (next >= verify->nr || atomic_load(&verify->result))
			break;
		index = verify->chosen ? verify->chosen[next] : next;
		if (!buffer) {
			fail(verify, index, -ENOMEM, 0);
			break;
		}
		verify_chunk(verify, index, buffer);
	}
	free(buffer);
	return NULL;
}

static int run(struct verify *verify, unsigned int threads)
{
	pthread_t others[MAX_THREADS];
	unsigned int started = 0;

	pthread_mutex_init(&verify->lock, NULL);
	/* This thread works too, so it does not matter if no other can be started. */
	while (started + 1 < threads && started < MAX_THREADS &&
	       !pthread_create(&others[started], NULL, verify_some, verify))
		started++;
	verify_some(verify);
	while (started)
		pthread_join(others[--started], NULL);
	pthread_mutex_destroy(&verify->lock);
	return verify->result;
}

static int verify_chosen(const struct ccr_image *image, const size_t *chosen, size_t nr,
			 unsigned int threads, struct ccr_image_verify_result *result, char *error,
			 size_t error_size)
{
	struct verify verify = {.image = image,
				.chosen = chosen,
				.nr = nr,
				.is_compared = true,
				.error = error,
				.error_size = error_size};
	const int ret = run(&verify, threads);

	result->chunks = nr;
	result->stored_bytes = verify.stored_bytes;
	result->zero_chunks = verify.zero_chunks;
	return ret;
}

int ccr_image_verify(const struct ccr_image *image, unsigned int threads,
		     struct ccr_image_verify_result *result, char *error, size_t error_size)
{
	return verify_chosen(image, NULL, image->nr_chunks, threads, result, error, error_size);
}

int ccr_image_read(const struct ccr_image *image, char *const *into, bool is_compared,
		   unsigned int threads, char *error, size_t error_size)
{
	struct verify verify = {.image = image,
				.nr = image->nr_chunks,
				.into = into,
				.is_compared = is_compared,
				.error = error,
				.error_size = error_size};

	return run(&verify, threads);
}

/* Moves random chunks to the front until they have `bytes`. Returns how many. */
static size_t choose(const struct ccr_image *image, size_t *chunks, size_t nr, uint64_t bytes)
{
	uint64_t sum = 0;
	size_t chosen = 0;

	for (; chosen < nr && sum < bytes; chosen++) {
		size_t random = 0, taken;

		/* Without random numbers, the next one. */
		if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
			random = 0;
		random = chosen + random % (nr - chosen);
		taken = chunks[random];
		chunks[random] = chunks[chosen];
		chunks[chosen] = taken;
		sum += image->chunks[taken].length;
	}
	return chosen;
}

int ccr_image_verify_sample(const struct ccr_image *image, uint64_t bytes, unsigned int threads,
			    struct ccr_image_verify_result *result, char *error, size_t error_size)
{
	size_t *const chunks = malloc((image->nr_chunks + 1) * sizeof(*chunks));
	size_t nr = 0;
	int ret;

	if (!chunks)
		return ccr__image_error(-ENOMEM, error, error_size, "%s: out of memory",
					image->name);
	for (size_t i = 0; i < image->nr_chunks; i++)
		if (!image->chunks[i].is_zero)
			chunks[nr++] = i;
	nr = choose(image, chunks, nr, bytes);
	ret = verify_chosen(image, chunks, nr, threads, result, error, error_size);
	free(chunks);
	return ret;
}
