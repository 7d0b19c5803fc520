// SPDX-License-Identifier: MIT
/* Ordinary host memory to and from device memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transfer/engine/engine.h"

static char *host_address(const struct transfer_task *task, const struct transfer_item *item)
{
	return task->host + task->chunks[item->first].position;
}

static int fill(struct transfer_worker *worker, struct transfer_task *task,
		const struct transfer_item *item, char *buffer, uint64_t from, uint64_t bytes)
{
	const uint64_t left = task->chunks[item->first].length - from;

	memcpy(buffer, host_address(task, item) + from, left < bytes ? left : bytes);
	return 0;
}

static int drain(struct transfer_worker *worker, struct transfer_task *task,
		 const struct transfer_item *item, char *buffer)
{
	memcpy(host_address(task, item), buffer, task->chunks[item->first].length);
	return 0;
}

static const struct transfer_kind to_device_kind = {.fill = fill};
static const struct transfer_kind from_device_kind = {.drain = drain};

/* Enough pieces to keep every worker busy, none larger than a staging buffer. */
static uint64_t piece_size(const struct transfer_task *task, uint64_t bytes)
{
	const uint64_t smallest = 64 << 10;
	const uint64_t share = transfer_round_up(bytes / (TRANSFER_SLOTS * task->streams) + 1);

	if (share > task->chunk_bytes)
		return task->chunk_bytes;
	return share < smallest ? smallest : share;
}

static int copy(struct cuda_parallel_engine *engine, const struct cuda_parallel_range *range,
		void *host, const struct transfer_kind *kind, struct cuda_parallel_job *job)
{
	struct transfer_task task = {
		.kind = kind,
		.engine = engine,
		.job = job,
		.ranges = range,
		.nr_ranges = 1,
		.host = host,
	};
	struct ccr_image_chunk *chunks;
	uint64_t size;
	int ret;

	ret = transfer_task_configure(&task);
	if (!ret)
		ret = transfer_check_range(engine, job, range, 0);
	if (ret)
		return ret;
	size = piece_size(&task, range->bytes);
	task.nr_chunks = (range->bytes + size - 1) / size;
	chunks = calloc(task.nr_chunks, sizeof(*chunks));
	if (!chunks) {
		snprintf(job->error, sizeof(job->error), "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < task.nr_chunks; i++) {
		const uint64_t left = range->bytes - i * size;

		chunks[i].position = i * size;
		chunks[i].length = left < size ? left : size;
	}
	task.chunks = chunks;
	/* With `size` as room each item is one piece, as fill and drain require. */
	ret = transfer_task_plan(&task, size);
	if (!ret)
		ret = transfer_task_run(&task);
	free(chunks);
	return ret;
}

int cuda_parallel_restore_buffer(struct cuda_parallel_engine *engine,
				 const struct cuda_parallel_range *range, const void *host,
				 struct cuda_parallel_job *job)
{
	return copy(engine, range, (void *)(uintptr_t)host, &to_device_kind, job);
}

int cuda_parallel_dump_buffer(struct cuda_parallel_engine *engine,
			      const struct cuda_parallel_range *range, void *host,
			      struct cuda_parallel_job *job)
{
	return copy(engine, range, host, &from_device_kind, job);
}
