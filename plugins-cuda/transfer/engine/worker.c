// SPDX-License-Identifier: MIT
/* A transfer thread. It waits only for items and for the device. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "transfer/engine/engine.h"

static void drain(struct transfer_worker *worker, struct transfer_task *task,
		  struct transfer_slot *slot)
{
	const double start = transfer_now_ms();

	task->kind->drain(worker, task, &slot->item, slot->buffer);
	transfer_note(task, worker, false, start);
}

/* Waits for the device and finishes the slot's item. */
static void release(struct transfer_worker *worker, struct transfer_slot *slot)
{
	struct transfer_task *task = slot->task;
	const struct ccr_cuda *cuda = worker->engine->cuda;
	const int device = slot->item.device;
	double start;
	CUresult result;
	char error[256];

	if (!slot->is_busy)
		return;
	slot->is_busy = false;
	if (transfer_device_use(worker, device, error, sizeof(error))) {
		transfer_task_error(task, -EIO, "%s", error);
	} else {
		start = transfer_now_ms();
		result = cuda->cuEventSynchronize(
			worker->device_streams[device].events[slot - worker->slots]);
		transfer_note(task, worker, true, start);
		if (result != CUDA_SUCCESS)
			transfer_task_cuda_error(task, result, "cuEventSynchronize", device, 0, 0);
		else if (task->kind->drain)
			drain(worker, task, slot);
	}
	if (slot->ends_item)
		transfer_task_finish(task, &slot->item);
}

/* Slots are used in turn, so the next one is the oldest. */
static struct transfer_slot *acquire(struct transfer_worker *worker)
{
	struct transfer_slot *slot = &worker->slots[worker->next_slot];

	worker->next_slot = (worker->next_slot + 1) % TRANSFER_SLOTS;
	release(worker, slot);
	return slot;
}

/* Releases the oldest busy slot. False when no slot is busy. */
static bool release_oldest(struct transfer_worker *worker)
{
	for (int i = 0; i < TRANSFER_SLOTS; i++) {
		struct transfer_slot *slot =
			&worker->slots[(worker->next_slot + i) % TRANSFER_SLOTS];

		if (slot->is_busy) {
			release(worker, slot);
			return true;
		}
	}
	return false;
}

static CUresult copy(const struct ccr_cuda *cuda, bool to_device, CUdeviceptr address, char *host,
		     uint64_t bytes, CUstream stream)
{
	return to_device ? cuda->cuMemcpyHtoDAsync_v2(address, host, bytes, stream)
			 : cuda->cuMemcpyDtoHAsync_v2(host, address, bytes, stream);
}

/* The first chunk after `first` that does not continue its zeroes in the same allocation. */
static uint32_t end_of_zeroes(const struct transfer_task *task, const struct transfer_item *item,
			      uint32_t first, uint64_t *bytes)
{
	const struct ccr_image_chunk *chunks = &task->chunks[item->first];
	uint32_t end = first;

	for (*bytes = 0; end < item->nr; end++) {
		if (!chunks[end].is_zero || chunks[end].allocation != chunks[first].allocation)
			break;
		*bytes += chunks[end].length;
	}
	return end;
}

/*
 * Queues one call for each run of zero chunks. New device memory is not always
 * zero, so this cannot be left out.
 */
static int set_zeroes(struct transfer_worker *worker, struct transfer_task *task,
		      const struct transfer_item *item, CUstream stream)
{
	for (uint32_t i = 0, end; i < item->nr; i = end) {
		const struct ccr_image_chunk *chunk = &task->chunks[item->first + i];
		const CUdeviceptr address = transfer_address(task, chunk);
		CUresult result;
		uint64_t bytes;

		end = end_of_zeroes(task, item, i, &bytes);
		if (end == i) {
			end++;
			continue;
		}
		result = worker->engine->cuda->cuMemsetD8Async(address, 0, bytes, stream);
		if (result != CUDA_SUCCESS)
			return transfer_task_cuda_error(task, result, "cuMemsetD8Async",
							item->device, address, bytes);
	}
	return 0;
}

/*
 * Queues copies of bytes [from, from + bytes) of an item, which are at
 * `buffer`. The item's zero chunks are queued with its first bytes.
 */
static int queue_copies(struct transfer_worker *worker, struct transfer_task *task,
			const struct transfer_item *item, char *buffer, uint64_t from,
			uint64_t bytes, CUstream stream)
{
	const struct ccr_cuda *cuda = worker->engine->cuda;
	const bool to_device = task->kind->fill != NULL;
	uint64_t position = 0;
	int ret = 0;

	if (to_device && !from)
		ret = set_zeroes(worker, task, item, stream);
	if (ret)
		return ret;
	for (uint32_t i = 0; i < item->nr; i++) {
		const struct ccr_image_chunk *chunk = &task->chunks[item->first + i];
		const CUdeviceptr address = transfer_address(task, chunk);
		uint64_t start, end;
		CUresult result;

		if (chunk->is_zero) /* set_zeroes; nothing is to be copied from the device */
			continue;
		start = position > from ? position : from;
		end = position + chunk->length;
		if (end > from + bytes)
			end = from + bytes;
		if (start < end) {
			result = copy(cuda, to_device, address + (start - position),
				      buffer + (start - from), end - start, stream);
			if (result != CUDA_SUCCESS)
				return transfer_task_cuda_error(
					task, result,
					to_device ? "cuMemcpyHtoDAsync" : "cuMemcpyDtoHAsync",
					item->device, address + (start - position), end - start);
		}
		position += transfer_round_up(chunk->length);
	}
	return 0;
}

/* Copies as much of an item as fits a buffer. After an error none of it is in flight. */
static int start_piece(struct transfer_worker *worker, struct transfer_task *task,
		       const struct transfer_item *item, uint64_t from)
{
	const struct ccr_cuda *cuda = worker->engine->cuda;
	const uint64_t room = task->chunk_bytes;
	const uint64_t bytes = item->bytes - from < room ? item->bytes - from : room;
	struct transfer_slot *slot = acquire(worker);
	struct transfer_device_stream *stream;
	CUresult result;
	char error[256];
	int ret;

	ret = transfer_device_stream_open(worker, item->device, &stream, error, sizeof(error));
	if (ret)
		return transfer_task_error(task, ret, "%s", error);
	if (task->kind->fill && bytes) {
		const double start = transfer_now_ms();

		ret = task->kind->fill(worker, task, item, slot->buffer, from, bytes);
		transfer_note(task, worker, false, start);
	}
	if (ret)
		return ret;
	ret = queue_copies(worker, task, item, slot->buffer, from, bytes, stream->stream);
	if (!ret) {
		result = cuda->cuEventRecord(stream->events[slot - worker->slots], stream->stream);
		if (result != CUDA_SUCCESS)
			ret = transfer_task_cuda_error(task, result, "cuEventRecord", item->device,
						       0, 0);
	}
	if (ret) {
		cuda->cuStreamSynchronize(stream->stream);
		return ret;
	}
	slot->is_busy = true;
	slot->ends_item = from + bytes == item->bytes;
	slot->task = task;
	slot->item = *item;
	return 0;
}

static void start_item(struct transfer_worker *worker, struct transfer_task *task,
		       const struct transfer_item *item)
{
	uint64_t from = 0;

	do {
		if (start_piece(worker, task, item, from)) {
			/* Copies of an earlier piece may still be in flight. */
			while (release_oldest(worker))
				;
			transfer_task_finish(task, item);
			return;
		}
		from += task->chunk_bytes;
	} while (from < item->bytes);
}

static bool next_item(struct transfer_worker *worker, struct transfer_task **task,
		      struct transfer_item *item, bool wait)
{
	struct cuda_parallel_engine *engine = worker->engine;
	bool found;

	pthread_mutex_lock(&engine->lock);
	while (!(found = transfer_task_take(worker, task, item)) && wait && !engine->is_ending)
		pthread_cond_wait(&engine->work, &engine->lock);
	pthread_mutex_unlock(&engine->lock);
	return found;
}

static void report_setup(struct cuda_parallel_engine *engine, int ret, const char *error)
{
	pthread_mutex_lock(&engine->lock);
	if (ret && !engine->setup_result) {
		engine->setup_result = ret;
		snprintf(engine->setup_error, sizeof(engine->setup_error), "%s", error);
	}
	engine->nr_ready++;
	pthread_cond_signal(&engine->ready);
	pthread_mutex_unlock(&engine->lock);
}

void *transfer_worker_run(void *data)
{
	struct transfer_worker *worker = data;
	struct transfer_task *task;
	struct transfer_item item;
	char error[512] = "", name[16];

	snprintf(name, sizeof(name), "transfer-%u", worker->number);
	pthread_setname_np(pthread_self(), name);
	report_setup(worker->engine, transfer_worker_init(worker, error, sizeof(error)), error);
	for (;;) {
		if (next_item(worker, &task, &item, false))
			start_item(worker, task, &item);
		else if (release_oldest(worker))
			continue;
		else if (next_item(worker, &task, &item, true))
			start_item(worker, task, &item);
		else
			break;
	}
	transfer_worker_fini(worker);
	return NULL;
}
