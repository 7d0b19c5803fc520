// SPDX-License-Identifier: MIT
/* Copies device memory to a GPU image. Each worker writes its own stripe. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transfer/engine/engine.h"

/* Chunks that are consecutive both in the staging buffer and in the stripe. */
struct run {
	struct transfer_worker *worker;
	struct transfer_task *task;
	size_t first;
	uint32_t nr;
	uint64_t bytes;
	uint64_t offset;      /* in the stripe */
	uint64_t next_offset; /* of the chunk whose checksum is next */
};

static int no_memory(struct transfer_task *task)
{
	return transfer_task_error(task, -ENOMEM, "out of memory");
}

static int note_chunk(void *argument, size_t index, uint64_t xxh3)
{
	struct run *run = argument;
	struct ccr_image_chunk chunk = run->task->chunks[index];

	chunk.xxh3 = xxh3;
	chunk.offset = run->next_offset;
	run->next_offset += transfer_round_up(chunk.length);
	if (ccr_image_writer_add_chunk(run->task->writer,
				       transfer_task_seat(run->task, run->worker), &chunk))
		return no_memory(run->task);
	return 0;
}

/* Returns the worker's file, which is created when it has the first byte to store. */
static int own_file(struct transfer_worker *worker, struct transfer_task *task,
		    struct ccr_io_file **out)
{
	const uint32_t seat = transfer_task_seat(task, worker);
	struct ccr_io_file *file = &task->files[seat];
	const struct ccr_image_stripe *stripe;
	char error[256];
	int ret;

	*out = file;
	if (file->fd >= 0)
		return 0;
	ret = ccr_image_writer_stripe(task->writer, seat, &stripe, error, sizeof(error));
	if (ret)
		return transfer_task_error(task, ret, "%s", error);
	file->fd = stripe->fd;
	file->name = stripe->name;
	task->io->begin(file, true);
	return 0;
}

static int store(struct run *run, const char *data)
{
	const uint32_t configured = run->task->config->write_piece;
	struct transfer_task *task = run->task;
	const uint64_t wanted = configured ? configured : task->io->write_piece;
	/* Not worker->cursor, which may be in the middle of an item that the worker loads. */
	struct transfer_cursor cursor;
	struct ccr_io_file *file;
	int ret;

	ret = own_file(run->worker, task, &file);
	if (ret)
		return ret;
	run->offset = ccr_image_writer_reserve(task->writer, transfer_task_seat(task, run->worker),
					       run->bytes);
	run->next_offset = run->offset;
	transfer_cursor_begin(&cursor, task->chunks, run->first);
	for (uint64_t done = 0; done < run->bytes;) {
		const uint64_t left = run->bytes - done;
		const uint64_t part = wanted && wanted < left ? wanted : left;

		ret = transfer_cursor_feed(&cursor, data + done, part, note_chunk, run);
		if (ret)
			return ret;
		ret = task->io->write(&run->worker->io_queue, file, data + done, part,
				      run->offset + done);
		if (ret)
			return transfer_task_error(task, ret, "%s: write of %llu bytes at %llu: %s",
						   file->name, (unsigned long long)part,
						   (unsigned long long)(run->offset + done),
						   strerror(-ret));
		done += part;
	}
	atomic_fetch_add(&task->stored_bytes, run->bytes);
	return 0;
}

static int note_zero(struct transfer_worker *worker, struct transfer_task *task, size_t index)
{
	struct ccr_image_chunk chunk = task->chunks[index];

	chunk.is_zero = true;
	if (ccr_image_writer_add_chunk(task->writer, transfer_task_seat(task, worker), &chunk))
		return no_memory(task);
	atomic_fetch_add(&task->zero_bytes, chunk.length);
	return 0;
}

/* Splits the item at the chunks that are zero, or in an earlier image, and stores the others. */
static int drain(struct transfer_worker *worker, struct transfer_task *task,
		 const struct transfer_item *item, char *buffer)
{
	struct run run = {.worker = worker, .task = task, .first = item->first};
	int ret = 0;

	for (uint32_t i = 0; !ret && i < item->nr; i++) {
		const uint64_t length = task->chunks[item->first + i].length;
		const uint64_t padded = transfer_round_up(length);
		char *data = buffer + run.bytes;
		bool is_zero;

		if (task->chunks[item->first + i].is_zero) { /* and not in the buffer */
			ret = note_zero(worker, task, item->first + i);
			continue;
		}
		is_zero = ccr_is_zero(data, length);
		if (!is_zero && !transfer_reuse_has(worker, task, item->first + i, data)) {
			memset(data + length, 0, padded - length);
			run.bytes += padded;
			run.nr++;
			continue;
		}
		if (is_zero)
			ret = note_zero(worker, task, item->first + i);
		if (!ret && run.nr)
			ret = store(&run, buffer);
		buffer = data + padded;
		run.first = item->first + i + 1;
		run.nr = 0;
		run.bytes = 0;
	}
	return ret || !run.nr ? ret : store(&run, buffer);
}

static const struct transfer_kind dump_kind = {.drain = drain};

static int check_writer(const struct transfer_task *task, struct ccr_image_writer *writer)
{
	const struct cuda_parallel_range *ranges = task->ranges;
	struct cuda_parallel_job *job = task->job;
	const uint32_t nr_ranges = task->nr_ranges;

	if (ccr_image_writer_nr_allocations(writer) != nr_ranges ||
	    ccr_image_writer_nr_writers(writer) < task->streams ||
	    ccr_image_writer_chunk_size(writer) > task->chunk_bytes) {
		snprintf(job->error, sizeof(job->error),
			 "the image has %u allocations, %u writers and chunks of %llu bytes; the "
			 "copy has %u ranges, %u streams and buffers of %llu",
			 ccr_image_writer_nr_allocations(writer),
			 ccr_image_writer_nr_writers(writer),
			 (unsigned long long)ccr_image_writer_chunk_size(writer), nr_ranges,
			 task->streams, (unsigned long long)task->chunk_bytes);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < nr_ranges; i++) {
		const int ret = transfer_check_range(task->engine, job, &ranges[i], i);

		if (ret)
			return ret;
		if (ranges[i].bytes == ccr_image_writer_allocation(writer, i)->size)
			continue;
		snprintf(job->error, sizeof(job->error),
			 "allocations[%u].size is %llu, the range has %llu bytes", i,
			 (unsigned long long)ccr_image_writer_allocation(writer, i)->size,
			 (unsigned long long)ranges[i].bytes);
		return -EINVAL;
	}
	return 0;
}

static struct ccr_image_chunk *cut_ranges(const struct cuda_parallel_range *ranges,
					  uint32_t nr_ranges, uint64_t size, size_t *nr_chunks)
{
	struct ccr_image_chunk *chunks;
	size_t nr = 0;

	for (uint32_t i = 0; i < nr_ranges; i++)
		nr += (ranges[i].bytes + size - 1) / size;
	*nr_chunks = nr;
	if (nr > CCR_IMAGE_MAX_CHUNKS)
		return NULL;
	chunks = calloc(nr + 1, sizeof(*chunks));
	nr = 0;
	for (uint32_t i = 0; chunks && i < nr_ranges; i++)
		for (uint64_t at = 0; at < ranges[i].bytes; at += size, nr++) {
			const uint64_t left = ranges[i].bytes - at;

			chunks[nr].allocation = i;
			chunks[nr].position = at;
			chunks[nr].length = left < size ? left : size;
		}
	return chunks;
}

static int run_dump(struct transfer_task *task)
{
	task->nr_files = task->streams;
	task->files = calloc(task->nr_files, sizeof(*task->files));
	if (!task->files) {
		snprintf(task->job->error, sizeof(task->job->error), "out of memory");
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < task->nr_files; i++)
		task->files[i].fd = -1;
	return transfer_task_run(task);
}

/* Stores chunks that have been copied once more, to the same files. */
static int store_again(const struct transfer_task *first, const struct ccr_image_chunk *chunks,
		       size_t nr_chunks)
{
	struct cuda_parallel_job *job = first->job;
	struct cuda_parallel_job so_far = *job;
	struct transfer_task task = {
		.kind = &dump_kind,
		.engine = first->engine,
		.job = job,
		.ranges = first->ranges,
		.nr_ranges = first->nr_ranges,
		.writer = first->writer,
		.chunks = chunks,
		.nr_chunks = nr_chunks,
		.io = first->io,
		.files = first->files,
		.nr_files = first->nr_files,
		.config = first->config,
		.streams = first->streams,
		.chunk_bytes = first->chunk_bytes,
		.done_bytes = so_far.total_bytes,
	};
	int ret;

	for (size_t i = 0; i < nr_chunks; i++)
		task.done_bytes -= chunks[i].length;
	job->ready = NULL;
	ret = transfer_task_plan(&task, task.chunk_bytes);
	job->total_bytes = so_far.total_bytes;
	if (!ret)
		ret = transfer_task_run(&task);
	job->ready = so_far.ready;
	job->seconds += so_far.seconds;
	job->zero_bytes += so_far.zero_bytes;
	job->stored_bytes += so_far.stored_bytes;
	return ret;
}

static int take_reused(struct transfer_task *task)
{
	struct ccr_image_chunk *again = NULL;
	size_t nr = 0;
	int ret = task->reuse ? transfer_reuse_take(task, &again, &nr) : 0;

	if (ret)
		snprintf(task->job->error, sizeof(task->job->error), "out of memory");
	if (!ret && nr)
		ret = store_again(task, again, nr);
	free(again);
	return ret;
}

int cuda_parallel_dump_memory(struct cuda_parallel_engine *engine, struct ccr_image_writer *writer,
			      const struct cuda_parallel_range *ranges, uint32_t nr_ranges,
			      struct cuda_parallel_job *job)
{
	struct transfer_task task = {
		.kind = &dump_kind,
		.engine = engine,
		.job = job,
		.ranges = ranges,
		.nr_ranges = nr_ranges,
		.writer = writer,
	};
	struct ccr_image_chunk *chunks;
	int ret;

	ret = transfer_task_configure(&task);
	if (!ret)
		ret = check_writer(&task, writer);
	if (ret)
		return ret;
	task.io = ccr_io_select(task.config->io, ccr_image_writer_dirfd(writer));
	snprintf(job->io, sizeof(job->io), "%s", task.io->name);
	chunks =
		cut_ranges(ranges, nr_ranges, ccr_image_writer_chunk_size(writer), &task.nr_chunks);
	if (!chunks) {
		snprintf(job->error, sizeof(job->error), "%zu chunks of %llu bytes are too many",
			 task.nr_chunks, (unsigned long long)ccr_image_writer_chunk_size(writer));
		return -ENOMEM;
	}
	task.chunks = chunks;
	transfer_scan(&task, chunks);
	transfer_reuse_begin(&task.reuse, &task);
	ret = transfer_task_plan(&task, task.chunk_bytes);
	if (!ret)
		ret = run_dump(&task);
	if (!ret)
		ret = take_reused(&task);
	transfer_reuse_end(task.reuse);
	for (uint32_t i = 0; task.files && i < task.nr_files; i++)
		if (task.files[i].fd >= 0)
			task.io->end(&task.files[i]);
	free(task.files);
	free(chunks);
	return ret;
}
