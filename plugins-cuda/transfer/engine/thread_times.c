// SPDX-License-Identifier: MIT
/* What each thread of a job did when: cheap enough to be noted always. */
#include <time.h>

#include "transfer/engine/engine.h"

#define FIRST_SLICE_MS 4

double transfer_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void merge_pairs(float *slices)
{
	for (uint32_t i = 0; i < CUDA_PARALLEL_SLICES; i++) {
		const uint32_t from = 2 * i;

		slices[i] = from < CUDA_PARALLEL_SLICES ? slices[from] + slices[from + 1] : 0;
	}
}

/* Makes the slices so long that they reach `end`. */
static void reach(struct cuda_parallel_thread *thread, double end)
{
	while (end >= thread->start + thread->slice_ms * CUDA_PARALLEL_SLICES) {
		merge_pairs(thread->host_ms);
		merge_pairs(thread->device_ms);
		thread->slice_ms *= 2;
	}
}

static void add(const struct cuda_parallel_thread *thread, float *slices, double from, double to)
{
	const double slice_ms = thread->slice_ms;
	uint32_t i = (from - thread->start) / slice_ms;

	for (; i < CUDA_PARALLEL_SLICES && from < to; i++) {
		const double slice_end = thread->start + (i + 1) * slice_ms;
		const double end = slice_end < to ? slice_end : to;

		slices[i] += end - from;
		from = end;
	}
}

void transfer_note(struct transfer_task *task, const struct transfer_worker *worker, bool is_device,
		   double from)
{
	const double now = transfer_now_ms();
	struct cuda_parallel_thread *thread;

	if (!task->job->threads)
		return;
	thread = &task->job->threads[transfer_task_seat(task, worker)];
	if (!thread->slice_ms) {
		thread->start = from;
		thread->slice_ms = FIRST_SLICE_MS;
	}
	thread->end = now;
	reach(thread, now);
	add(thread, is_device ? thread->device_ms : thread->host_ms, from, now);
}
