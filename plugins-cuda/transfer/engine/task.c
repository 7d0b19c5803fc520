// SPDX-License-Identifier: MIT
/* A job as the workers see it: its items, errors, counters and end. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transfer/engine/engine.h"

int transfer_check_range(struct cuda_parallel_engine *engine, struct cuda_parallel_job *job,
			 const struct cuda_parallel_range *range, uint32_t index)
{
	if (range->device < 0 || range->device >= engine->nr_devices) {
		snprintf(job->error, sizeof(job->error),
			 "range %u: device %d does not exist; there are %d", index, range->device,
			 engine->nr_devices);
		return -ENODEV;
	}
	if (!range->bytes || !range->address || range->address + range->bytes < range->address) {
		snprintf(job->error, sizeof(job->error),
			 "range %u: invalid address 0x%llx or length %llu", index, range->address,
			 (unsigned long long)range->bytes);
		return -EINVAL;
	}
	return 0;
}

/* Drops the items that no worker has taken. Call with the lock held. */
static void drop_items(struct transfer_task *task)
{
	for (uint32_t q = 0; q < task->nr_queues; q++) {
		struct transfer_queue *queue = &task->queues[q];

		task->items_left -= queue->end_of_data - queue->next;
		task->items_left -= queue->end - queue->next_zero;
		queue->next = queue->end_of_data;
		queue->next_zero = queue->end;
	}
	if (!task->items_left)
		pthread_cond_signal(&task->ended);
}

int transfer_task_error(struct transfer_task *task, int ret, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&task->engine->lock);
	if (!task->result) {
		task->result = ret;
		va_start(args, format);
		vsnprintf(task->job->error, sizeof(task->job->error), format, args);
		va_end(args);
		drop_items(task);
	}
	pthread_mutex_unlock(&task->engine->lock);
	return ret;
}

int transfer_task_cuda_error(struct transfer_task *task, CUresult result, const char *call,
			     int device, CUdeviceptr address, uint64_t bytes)
{
	const int ret = transfer_cuda_errno(result);

	if (!bytes)
		return transfer_task_error(task, ret, "%s on device %d: %s", call, device,
					   ccr_cuda_error_name(result));
	return transfer_task_error(task, ret, "%s of %llu bytes at 0x%llx of device %d: %s", call,
				   (unsigned long long)bytes, address, device,
				   ccr_cuda_error_name(result));
}

/*
 * A few zero chunks are part of an item with stored bytes; a longer run is an item of its own.
 * Setting it to zero takes long enough to hold up copies in the same stream.
 */
#define ZEROES_WITH_DATA 8

/* Whether more zero chunks than that begin at a chunk. */
static bool is_long_run(const struct transfer_task *task, size_t first)
{
	size_t end = first;

	while (end < task->nr_chunks && task->chunks[end].is_zero &&
	       end - first <= ZEROES_WITH_DATA)
		end++;
	return end - first > ZEROES_WITH_DATA;
}

/* True if the chunk can be added to the item, whose bytes in the stripe begin with `stored`. */
static bool fits(const struct transfer_task *task, const struct transfer_item *item,
		 const struct ccr_image_chunk *stored, size_t index, uint64_t room)
{
	const struct ccr_image_chunk *chunk = &task->chunks[index];

	if (item->nr == TRANSFER_CHUNKS_AN_ITEM ||
	    task->ranges[chunk->allocation].device != item->device)
		return false;
	if (chunk->is_zero)
		return !item->bytes || !is_long_run(task, index);
	if (!item->bytes && item->nr > ZEROES_WITH_DATA)
		return false;
	if (item->bytes + transfer_round_up(chunk->length) > room)
		return false;
	/* If there is a file to read, the item must be one read. */
	return !task->image || !stored ||
	       (stored->stripe == chunk->stripe && stored->offset + item->bytes == chunk->offset);
}

/* Those with stored bytes first. */
static int by_kind(const void *a, const void *b)
{
	const struct transfer_item *x = a, *y = b;

	if (!x->bytes != !y->bytes)
		return x->bytes ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

static void fill_queue(struct transfer_task *task, size_t first)
{
	struct transfer_queue *queue = &task->queues[task->nr_queues];
	const size_t nr = task->nr_items - first;

	if (!nr)
		return;
	qsort(&task->items[first], nr, sizeof(*task->items), by_kind);
	queue->next = queue->end_of_data = first;
	queue->end = task->nr_items;
	while (queue->end_of_data < queue->end && task->items[queue->end_of_data].bytes)
		queue->end_of_data++;
	queue->next_zero = queue->end_of_data;
	task->nr_queues++;
}

static void cut(struct transfer_task *task, int device, uint64_t room)
{
	const struct ccr_image_chunk *stored = NULL;
	const size_t first = task->nr_items;
	struct transfer_item *item = NULL;

	for (size_t i = 0; i < task->nr_chunks; i++) {
		const struct ccr_image_chunk *chunk = &task->chunks[i];

		if (task->ranges[chunk->allocation].device != device) {
			item = NULL;
			continue;
		}
		if (!item || !fits(task, item, stored, i, room)) {
			item = &task->items[task->nr_items++];
			*item = (struct transfer_item){.first = i, .device = device};
			stored = NULL;
		}
		item->nr++;
		if (chunk->is_zero)
			continue;
		if (!stored)
			stored = chunk;
		item->bytes += transfer_round_up(chunk->length);
	}
	fill_queue(task, first);
}

int transfer_task_plan(struct transfer_task *task, uint64_t room)
{
	bool is_used[CUDA_PARALLEL_MAX_DEVICES] = {false};

	task->items = calloc(task->nr_chunks + 1, sizeof(*task->items));
	task->chunks_left = calloc(task->nr_ranges + 1, sizeof(*task->chunks_left));
	if (!task->items || !task->chunks_left) {
		free(task->items);
		free(task->chunks_left);
		snprintf(task->job->error, sizeof(task->job->error), "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < task->nr_chunks; i++)
		task->chunks_left[task->chunks[i].allocation]++;
	for (uint32_t i = 0; i < task->nr_ranges; i++) {
		is_used[task->ranges[i].device] = true;
		task->job->total_bytes += task->ranges[i].bytes;
	}
	for (int device = 0; device < CUDA_PARALLEL_MAX_DEVICES; device++)
		if (is_used[device])
			cut(task, device, room);
	task->items_left = task->nr_items;
	return 0;
}

/* The first workers that want to take part in the task do so until its end. */
static bool has_seat(struct transfer_task *task, const struct transfer_worker *worker)
{
	uint8_t *seat = &task->seats[worker->number];

	if (!*seat && task->nr_seats < task->streams)
		*seat = ++task->nr_seats;
	return *seat;
}

/* Whether the file of an item with stored bytes can be read; prepares one that has just come. */
static bool is_there(struct transfer_task *task, const struct transfer_item *item)
{
	const struct ccr_image_chunk *chunk = &task->chunks[item->first];
	struct ccr_io_file *file;

	if (!task->job->arrived)
		return true;
	while (chunk->is_zero)
		chunk++;
	if (!atomic_load(&task->job->arrived[chunk->stripe]))
		return false;
	file = &task->files[chunk->stripe];
	if (file->fd < 0) {
		file->fd = task->image->stripes[chunk->stripe].fd;
		task->io->begin(file, false);
	}
	return true;
}

/* Zeroes are set while others copy, by one worker for each device, later by any. */
static bool take_from(struct transfer_task *task, const struct transfer_worker *worker,
		      uint32_t turn, struct transfer_item *item)
{
	const bool begins_with_zeroes = transfer_task_seat(task, worker) < task->nr_queues;

	for (uint32_t i = 0; i < task->nr_queues; i++) {
		struct transfer_queue *queue = &task->queues[(turn + i) % task->nr_queues];
		const bool has_data = queue->next < queue->end_of_data &&
				      is_there(task, &task->items[queue->next]);
		const bool has_zeroes = queue->next_zero < queue->end;

		if (has_zeroes && (begins_with_zeroes || !has_data))
			*item = task->items[queue->next_zero++];
		else if (has_data)
			*item = task->items[queue->next++];
		else
			continue;
		return true;
	}
	return false;
}

bool transfer_task_take(struct transfer_worker *worker, struct transfer_task **out,
			struct transfer_item *item)
{
	struct cuda_parallel_engine *engine = worker->engine;
	uint32_t nr_tasks = 0;

	for (struct transfer_task *task = engine->tasks; task; task = task->next) {
		nr_tasks++;
		if (task->result || !task->items_left || !atomic_load(&task->job->cancelled))
			continue;
		task->result = -ECANCELED;
		snprintf(task->job->error, sizeof(task->job->error), "cancelled");
		drop_items(task);
	}
	/* Spread the workers over the tasks, and over the devices of each task. */
	for (uint32_t i = 0; i < nr_tasks; i++) {
		struct transfer_task *task = engine->tasks;

		for (uint32_t skip = (worker->number + i) % nr_tasks; skip; skip--)
			task = task->next;
		if (task->items_left && has_seat(task, worker) &&
		    take_from(task, worker, worker->number / nr_tasks, item)) {
			*out = task;
			return true;
		}
	}
	return false;
}

static void tell(struct transfer_task *task, const uint32_t *ranges, uint32_t nr, uint64_t bytes)
{
	struct cuda_parallel_job *job = task->job;

	pthread_mutex_lock(&task->callback_lock);
	task->done_bytes += bytes;
	for (uint32_t i = 0; job->ready && i < nr; i++)
		job->ready(job->argument, ranges[i]);
	if (job->progress)
		job->progress(job->argument, task->done_bytes, job->total_bytes);
	pthread_mutex_unlock(&task->callback_lock);
}

void transfer_task_finish(struct transfer_task *task, const struct transfer_item *item)
{
	uint32_t ready[TRANSFER_CHUNKS_AN_ITEM], nr_ready = 0;
	struct cuda_parallel_engine *engine = task->engine;
	uint64_t bytes = 0;
	bool is_good;

	pthread_mutex_lock(&engine->lock);
	is_good = !task->result;
	for (uint32_t i = 0; is_good && i < item->nr; i++) {
		const struct ccr_image_chunk *chunk = &task->chunks[item->first + i];

		bytes += chunk->length;
		if (!--task->chunks_left[chunk->allocation])
			ready[nr_ready++] = chunk->allocation;
	}
	pthread_mutex_unlock(&engine->lock);
	if (is_good)
		tell(task, ready, nr_ready, bytes);
	pthread_mutex_lock(&engine->lock);
	if (!--task->items_left)
		pthread_cond_signal(&task->ended);
	pthread_mutex_unlock(&engine->lock);
}

static void unlink_task(struct cuda_parallel_engine *engine, struct transfer_task *task)
{
	struct transfer_task **link = &engine->tasks;

	while (*link != task)
		link = &(*link)->next;
	*link = task->next;
}

int transfer_task_run(struct transfer_task *task)
{
	struct cuda_parallel_engine *engine = task->engine;
	struct cuda_parallel_job *job = task->job;
	struct transfer_task **link = &engine->tasks;
	struct timespec start, end;

	clock_gettime(CLOCK_MONOTONIC, &start);
	pthread_cond_init(&task->ended, NULL);
	pthread_mutex_init(&task->callback_lock, NULL);
	pthread_mutex_lock(&engine->lock);
	while (*link)
		link = &(*link)->next;
	*link = task;
	pthread_cond_broadcast(&engine->work);
	while (task->items_left)
		pthread_cond_wait(&task->ended, &engine->lock);
	unlink_task(engine, task);
	pthread_mutex_unlock(&engine->lock);
	clock_gettime(CLOCK_MONOTONIC, &end);
	job->seconds = (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9;
	job->zero_bytes = task->zero_bytes;
	job->stored_bytes = task->stored_bytes;
	pthread_mutex_destroy(&task->callback_lock);
	pthread_cond_destroy(&task->ended);
	free(task->items);
	free(task->chunks_left);
	return task->result;
}
