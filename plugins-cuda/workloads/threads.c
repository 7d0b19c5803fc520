// SPDX-License-Identifier: MIT
#include "workloads/workload.h"

#include <time.h>

/* Each keeps calling the driver, so that a dump meets calls in progress. */
static void *verify_forever(void *argument)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	struct workload *w = argument;
	struct failure failure;
	struct lane lane;
	uint64_t checksum;

	w->cuda.cuCtxSetCurrent(w->context);
	if (workload_lane(w, &lane, 1, &failure))
		goto out;
	while (!workload_verify(w, &lane, &checksum, &failure)) {
		__atomic_add_fetch(&w->rounds, 1, __ATOMIC_RELAXED);
		nanosleep(&pause, NULL);
	}
out:
	__atomic_store_n(&w->mismatch, true, __ATOMIC_RELAXED);
	return NULL;
}

int workload_start_threads(struct workload *w, struct failure *failure)
{
	const int nr = w->options.threads + w->options.continuous;

	for (int i = 0; i < nr; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, verify_forever, w)) {
			snprintf(failure->what, sizeof(failure->what), "thread %d", i);
			failure->result = CUDA_ERROR_OUT_OF_MEMORY;
			return -1;
		}
		pthread_detach(thread);
	}
	return 0;
}
