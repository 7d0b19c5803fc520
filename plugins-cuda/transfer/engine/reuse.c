// SPDX-License-Identifier: MIT
/*
 * A dump against an earlier image of the process: a chunk that this image has with the same bytes
 * is not written. It must be the same allocation and the same piece of it. Then the checksum in the
 * earlier manifest tells which chunks are worth reading, and only what the file holds, byte for
 * byte, that they are the same: a file that has been damaged costs writing the chunk, and nothing
 * else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transfer/engine/engine.h"

/* A quarter of a stripe is in use, or an image would keep what only earlier ones needed. */
#define LEAST_PART 4
/* That is compared at once, with a back-end that has no preference. */
#define PIECE (4u << 20)
/* With a place: the bytes are the same. There are fewer chunks, see CCR_IMAGE_MAX_CHUNKS. */
#define IS_SAME (1u << 31)

struct transfer_reuse {
	const struct ccr_image *earlier;
	const struct ccr_io_ops *io;
	struct ccr_io_file *files; /* the stripes of the earlier image */
	uint32_t *places; /* per chunk of the dump: 1 + its index in the earlier image, or 0 */
	char *buffers[CUDA_PARALLEL_MAX_THREADS]; /* of each worker, once it needs one */
};

/* ---- which chunk of the earlier image a chunk may be ---- */

struct known {
	uint64_t id;
	uint32_t allocation;
};

static int by_id(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return 0;
}

static int by_position(const void *a, const void *b)
{
	const struct ccr_image_chunk *x = a, *y = b;

	if (x->allocation != y->allocation)
		return x->allocation < y->allocation ? -1 : 1;
	return x->position < y->position ? -1 : x->position > y->position;
}

/* Sorted by id. NULL when out of memory. */
static struct known *list_allocations(const struct ccr_image *earlier)
{
	struct known *list = calloc(earlier->nr_allocations + 1, sizeof(*list));

	for (uint32_t i = 0; list && i < earlier->nr_allocations; i++)
		list[i] = (struct known){earlier->allocations[i].id, i};
	if (list)
		qsort(list, earlier->nr_allocations, sizeof(*list), by_id);
	return list;
}

static size_t find_places(struct transfer_reuse *reuse, const struct transfer_task *task,
			  const struct known *list)
{
	const struct ccr_image *earlier = reuse->earlier;
	size_t nr = 0;

	for (size_t i = 0; i < task->nr_chunks; i++) {
		struct ccr_image_chunk wanted = task->chunks[i];
		const struct known key = {
			.id = ccr_image_writer_allocation(task->writer, wanted.allocation)->id};
		const struct known *known =
			bsearch(&key, list, earlier->nr_allocations, sizeof(*list), by_id);
		const struct ccr_image_chunk *found = NULL;

		if (known && !wanted.is_zero) {
			wanted.allocation = known->allocation;
			found = bsearch(&wanted, earlier->chunks, earlier->nr_chunks,
					sizeof(*found), by_position);
		}
		if (found && !found->is_zero && found->length == wanted.length) {
			reuse->places[i] = 1 + (found - earlier->chunks);
			nr++;
		}
	}
	return nr;
}

static int open_files(struct transfer_reuse *reuse, const struct transfer_task *task)
{
	const struct ccr_image *earlier = reuse->earlier;

	/* A mapping of a file that becomes shorter would end the program. */
	reuse->io = task->io == &ccr_io_mmap ? &ccr_io_pread : task->io;
	reuse->files = calloc(earlier->nr_stripes + 1, sizeof(*reuse->files));
	for (uint32_t i = 0; reuse->files && i < earlier->nr_stripes; i++) {
		reuse->files[i].fd = earlier->stripes[i].fd;
		reuse->files[i].name = earlier->stripes[i].name;
		reuse->files[i].size = earlier->stripes[i].size;
		reuse->io->begin(&reuse->files[i], false);
	}
	return reuse->files ? 0 : -1;
}

static void explain(struct cuda_parallel_job *job, uint64_t chunk_size)
{
	const struct ccr_image *earlier = job->earlier;

	if (earlier->chunk_size == chunk_size)
		snprintf(job->reuse_error, sizeof(job->reuse_error),
			 "%s: it has none of the memory", earlier->name);
	else
		snprintf(job->reuse_error, sizeof(job->reuse_error),
			 "%s: its chunks have %llu MiB, those of this dump %llu MiB", earlier->name,
			 (unsigned long long)earlier->chunk_size >> 20,
			 (unsigned long long)chunk_size >> 20);
}

void transfer_reuse_begin(struct transfer_reuse **out, struct transfer_task *task)
{
	struct cuda_parallel_job *job = task->job;
	struct transfer_reuse *reuse;
	struct known *list;

	*out = NULL;
	if (!job->earlier)
		return;
	reuse = calloc(1, sizeof(*reuse));
	list = list_allocations(job->earlier);
	if (reuse) {
		reuse->earlier = job->earlier;
		reuse->places = calloc(task->nr_chunks + 1, sizeof(*reuse->places));
	}
	if (!reuse || !list || !reuse->places || open_files(reuse, task)) {
		snprintf(job->reuse_error, sizeof(job->reuse_error), "out of memory");
		transfer_reuse_end(reuse);
	} else {
		if (!find_places(reuse, task, list))
			explain(job, ccr_image_writer_chunk_size(task->writer));
		*out = reuse;
	}
	free(list);
}

void transfer_reuse_end(struct transfer_reuse *reuse)
{
	if (!reuse)
		return;
	for (uint32_t i = 0; reuse->files && i < reuse->earlier->nr_stripes; i++)
		reuse->io->end(&reuse->files[i]);
	for (size_t i = 0; i < CUDA_PARALLEL_MAX_THREADS; i++)
		free(reuse->buffers[i]);
	free(reuse->files);
	free(reuse->places);
	free(reuse);
}

/* ---- whether it is that chunk ---- */

static void note_damage(struct transfer_task *task, const struct ccr_image_chunk *chunk, int ret)
{
	struct cuda_parallel_job *job = task->job;

	pthread_mutex_lock(&task->engine->lock);
	if (!*job->reuse_error)
		snprintf(job->reuse_error, sizeof(job->reuse_error),
			 "the earlier %s is damaged at %llu: %s",
			 task->reuse->earlier->stripes[chunk->stripe].name,
			 (unsigned long long)chunk->offset,
			 ret ? strerror(-ret) : "the bytes do not have their checksum");
	pthread_mutex_unlock(&task->engine->lock);
}

static char *buffer_of(struct transfer_reuse *reuse, const struct transfer_worker *worker,
		       size_t bytes)
{
	char **buffer = &reuse->buffers[worker->number];

	if (!*buffer)
		*buffer = aligned_alloc(CCR_IMAGE_ALIGN, bytes);
	return *buffer;
}

static bool is_equal(struct transfer_worker *worker, struct transfer_task *task,
		     const struct ccr_image_chunk *chunk, const char *data)
{
	struct transfer_reuse *reuse = task->reuse;
	const size_t piece = reuse->io->read_piece ? reuse->io->read_piece : PIECE;
	char *buffer = buffer_of(reuse, worker, piece);

	for (uint64_t done = 0; buffer && done < chunk->length; done += piece) {
		const uint64_t left = chunk->length - done;
		const size_t bytes = left < piece ? left : piece;
		const int ret = reuse->io->read(&worker->io_queue, &reuse->files[chunk->stripe],
						buffer, bytes, chunk->offset + done);

		if (ret || memcmp(buffer, data + done, bytes)) {
			note_damage(task, chunk, ret);
			return false;
		}
	}
	return buffer;
}

bool transfer_reuse_has(struct transfer_worker *worker, struct transfer_task *task, size_t index,
			const char *data)
{
	struct transfer_reuse *reuse = task->reuse;
	const struct ccr_image_chunk *chunk;

	if (!reuse || !reuse->places[index])
		return false;
	chunk = &reuse->earlier->chunks[reuse->places[index] - 1];
	if (ccr_xxh3(data, chunk->length) != chunk->xxh3 || !is_equal(worker, task, chunk, data))
		return false;
	reuse->places[index] |= IS_SAME;
	return true;
}

/* ---- which of them the new image refers to ---- */

/* The chunk of the earlier image that has the bytes of a chunk of the dump, or NULL. */
static const struct ccr_image_chunk *place_of(const struct transfer_reuse *reuse, size_t index)
{
	const uint32_t place = reuse->places[index];

	return place & IS_SAME ? &reuse->earlier->chunks[(place & ~IS_SAME) - 1] : NULL;
}

/* Sets what would be used of each stripe. No chunk is used twice. */
static void count(const struct transfer_task *task, uint64_t *used, bool *is_taken)
{
	struct transfer_reuse *reuse = task->reuse;

	for (size_t i = 0; i < task->nr_chunks; i++) {
		const struct ccr_image_chunk *place = place_of(reuse, i);

		if (!place || is_taken[place - reuse->earlier->chunks])
			continue;
		is_taken[place - reuse->earlier->chunks] = true;
		used[place->stripe] += transfer_round_up(place->length);
	}
}

/* Adds the chunk to the image, or to those that are still to be stored. */
static int take(struct transfer_task *task, size_t index, const uint64_t *used, bool *is_taken,
		struct ccr_image_chunk *again, size_t *nr)
{
	const struct ccr_image *earlier = task->reuse->earlier;
	const struct ccr_image_chunk *place = place_of(task->reuse, index);
	struct ccr_image_chunk chunk = task->chunks[index];

	if (!place)
		return 0;
	if (!is_taken[place - earlier->chunks] ||
	    used[place->stripe] < earlier->stripes[place->stripe].size / LEAST_PART) {
		again[(*nr)++] = chunk;
		return 0;
	}
	is_taken[place - earlier->chunks] = false;
	chunk.xxh3 = place->xxh3;
	chunk.offset = place->offset;
	task->job->reused_bytes += chunk.length;
	return ccr_image_writer_add_chunk(
		task->writer, ccr_image_writer_nr_writers(task->writer) + place->stripe, &chunk);
}

int transfer_reuse_take(struct transfer_task *task, struct ccr_image_chunk **again, size_t *nr)
{
	const struct ccr_image *earlier = task->reuse->earlier;
	uint64_t *used = calloc(earlier->nr_stripes + 1, sizeof(*used));
	bool *is_taken = calloc(earlier->nr_chunks + 1, sizeof(*is_taken));
	int ret = 0;

	*again = calloc(task->nr_chunks + 1, sizeof(**again));
	*nr = 0;
	if (!used || !is_taken || !*again)
		ret = -ENOMEM;
	else
		count(task, used, is_taken);
	for (size_t i = 0; !ret && i < task->nr_chunks; i++)
		ret = take(task, i, used, is_taken, *again, nr);
	free(used);
	free(is_taken);
	return ret;
}
