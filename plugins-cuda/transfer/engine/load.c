// SPDX-License-Identifier: MIT
/* Copies a GPU image to device memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transfer/engine/engine.h"

static int compare(void *argument, size_t chunk, uint64_t xxh3)
{
	struct transfer_task *task = argument;
	char error[512];

	if (xxh3 == task->chunks[chunk].xxh3)
		return 0;
	ccr_image_explain_checksum(task->image, chunk, xxh3, error, sizeof(error));
	return transfer_task_error(task, -EBADMSG, "%s", error);
}

static const struct ccr_image_chunk *first_stored(const struct transfer_task *task,
						  const struct transfer_item *item)
{
	const struct ccr_image_chunk *chunk = &task->chunks[item->first];

	while (chunk->is_zero)
		chunk++;
	return chunk;
}

/* Reads in pieces, so that each is still in the CPU cache when its checksum is computed. */
static int fill(struct transfer_worker *worker, struct transfer_task *task,
		const struct transfer_item *item, char *buffer, uint64_t from, uint64_t bytes)
{
	const struct ccr_image_chunk *first = first_stored(task, item);
	const uint32_t configured = task->config->read_piece;
	const uint64_t wanted = configured ? configured : task->io->read_piece;
	const uint64_t piece = task->config->verify && wanted ? wanted : bytes;
	struct ccr_io_file *file = &task->files[first->stripe];

	if (!from)
		transfer_cursor_begin(&worker->cursor, task->chunks, item->first);
	for (uint64_t done = 0; done < bytes;) {
		const uint64_t part = bytes - done < piece ? bytes - done : piece;
		const uint64_t offset = first->offset + from + done;
		int ret;

		ret = task->io->read(&worker->io_queue, file, buffer + done, part, offset);
		if (ret)
			return transfer_task_error(
				task, ret, "%s: read of %llu bytes at %llu: %s", file->name,
				(unsigned long long)part, (unsigned long long)offset,
				ret == -ENODATA ? "the file is too short" : strerror(-ret));
		if (task->config->verify) {
			ret = transfer_cursor_feed(&worker->cursor, buffer + done, part, compare,
						   task);
			if (ret)
				return ret;
		}
		done += part;
	}
	atomic_fetch_add(&task->stored_bytes, bytes);
	return 0;
}

static const struct transfer_kind load_kind = {.fill = fill};

static int check_ranges(struct cuda_parallel_engine *engine, const struct ccr_image *image,
			const struct cuda_parallel_range *ranges, uint32_t nr_ranges,
			struct cuda_parallel_job *job)
{
	if (nr_ranges != image->nr_allocations) {
		snprintf(job->error, sizeof(job->error), "%s: %u allocations for %u ranges",
			 image->name, image->nr_allocations, nr_ranges);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < nr_ranges; i++) {
		const int ret = transfer_check_range(engine, job, &ranges[i], i);

		if (ret)
			return ret;
		if (ranges[i].bytes == image->allocations[i].size)
			continue;
		snprintf(job->error, sizeof(job->error),
			 "%s: allocations[%u].size is %llu, the range has %llu bytes", image->name,
			 i, (unsigned long long)image->allocations[i].size,
			 (unsigned long long)ranges[i].bytes);
		return -EINVAL;
	}
	return 0;
}

static int open_files(struct transfer_task *task)
{
	task->nr_files = task->image->nr_stripes;
	task->files = calloc(task->nr_files + 1, sizeof(*task->files));
	if (!task->files)
		return -ENOMEM;
	for (uint32_t i = 0; i < task->nr_files; i++) {
		const bool is_there = !task->job->arrived || atomic_load(&task->job->arrived[i]);

		task->files[i].fd = is_there ? task->image->stripes[i].fd : -1;
		task->files[i].name = task->image->stripes[i].name;
		task->files[i].size = task->image->stripes[i].size;
		if (is_there)
			task->io->begin(&task->files[i], false);
	}
	return 0;
}

int cuda_parallel_restore_memory(struct cuda_parallel_engine *engine, const struct ccr_image *image,
				 const struct cuda_parallel_range *ranges, uint32_t nr_ranges,
				 struct cuda_parallel_job *job)
{
	struct transfer_task task = {
		.kind = &load_kind,
		.engine = engine,
		.job = job,
		.ranges = ranges,
		.nr_ranges = nr_ranges,
		.chunks = image->chunks,
		.nr_chunks = image->nr_chunks,
		.image = image,
	};
	int ret;

	ret = transfer_task_configure(&task);
	if (!ret)
		ret = check_ranges(engine, image, ranges, nr_ranges, job);
	if (ret)
		return ret;
	task.io = image->nr_stripes
			  ? ccr_io_select(task.config->io,
					  image->dirfd >= 0 ? image->dirfd : image->stripes[0].fd)
			  : &ccr_io_pread;
	snprintf(job->io, sizeof(job->io), "%s", task.io->name);
	for (size_t i = 0; i < image->nr_chunks; i++)
		if (image->chunks[i].is_zero)
			task.zero_bytes += image->chunks[i].length;
	ret = open_files(&task);
	if (!ret)
		ret = transfer_task_plan(&task, task.chunk_bytes);
	else
		snprintf(job->error, sizeof(job->error), "out of memory");
	if (!ret)
		ret = transfer_task_run(&task);
	for (uint32_t i = 0; task.files && i < task.nr_files; i++)
		task.io->end(&task.files[i]);
	free(task.files);
	return ret;
}
