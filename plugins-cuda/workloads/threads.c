// SPDX-License-Identifier: MIT
#include "workloads/workloads.h"

#include <stdlib.h>
#include <time.h>

/* Each thread keeps calling the driver, so that a dump finds calls in progress. */
static void *verify_forever(void *argument)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	struct workload *w = argument;
	struct failure failure;
	struct stream_set set;
	uint64_t checksum;

	w->cuda.cuCtxSetCurrent(w->context);
	if (workload_stream_set(w, &set, 1, &failure))
		goto out;
	while (!workload_verify(w, &set, &checksum, &failure)) {
		__atomic_add_fetch(&w->rounds, 1, __ATOMIC_RELAXED);
		nanosleep(&pause, NULL);
	}
out:
	__atomic_store_n(&w->mismatch, true, __ATOMIC_RELAXED);
	return NULL;
}

/* Alternates small allocations, which stay with the driver, and large ones, which do not. */
static void *churn_forever(void *argument)
{
	enum { MAX_WORDS = 3 << 17 };
	struct workload *w = argument;
	uint64_t *host = malloc(MAX_WORDS * 8);
	struct failure failure;
	struct stream_set set;

	w->cuda.cuCtxSetCurrent(w->context);
	if (!host || workload_stream_set(w, &set, 1, &failure))
		goto out;
	for (uint64_t round = 0;; round++) {
		const uint64_t words = round % 3 ? MAX_WORDS : 1 << 10;

		if (workload_churn(w, &set, (uintptr_t)host + round, host, words, &failure))
			break;
		__atomic_add_fetch(&w->rounds, 1, __ATOMIC_RELAXED);
	}
out:
	free(host);
	__atomic_store_n(&w->mismatch, true, __ATOMIC_RELAXED);
	return NULL;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void note_pause(struct workload *w, uint64_t pause)
{
	uint64_t longest = __atomic_load_n(&w->longest_pause, __ATOMIC_RELAXED);

	while (pause > longest &&
	       !__atomic_compare_exchange_n(&w->longest_pause, &longest, pause, true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static void *beat_forever(void *argument)
{
	const struct timespec interval = {.tv_nsec = 1000000};
	struct workload *w = argument;
	uint64_t last = now_ns();
	uint8_t byte;

	w->cuda.cuCtxSetCurrent(w->context);
	while (w->cuda.cuMemcpyDtoH_v2(&byte, w->buffers[0].address, 1) == CUDA_SUCCESS) {
		const uint64_t now = now_ns();

		note_pause(w, now - last);
		last = now;
		nanosleep(&interval, NULL);
	}
	__atomic_store_n(&w->mismatch, true, __ATOMIC_RELAXED);
	return NULL;
}

uint64_t workload_longest_pause(struct workload *w)
{
	return __atomic_exchange_n(&w->longest_pause, 0, __ATOMIC_RELAXED);
}

static int start_thread(struct workload *w, void *(*run)(void *), struct failure *failure)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, w)) {
		snprintf(failure->what, sizeof(failure->what), "start a thread");
		failure->result = CUDA_ERROR_OUT_OF_MEMORY;
		return -1;
	}
	pthread_detach(thread);
	return 0;
}

int workload_start_threads(struct workload *w, struct failure *failure)
{
	const int nr = w->options.threads + w->options.continuous;
	int ret = 0;

	for (int i = 0; !ret && i < nr; i++)
		ret = start_thread(w, verify_forever, failure);
	for (int i = 0; !ret && i < w->options.churn; i++)
		ret = start_thread(w, churn_forever, failure);
	if (!ret && w->options.heartbeat && w->nr_buffers)
		ret = start_thread(w, beat_forever, failure);
	return ret;
}
