// SPDX-License-Identifier: GPL-2.0-only
/* Threads inside criu, which has none of its own: all end before the hook that started them does.
 */
#ifndef CCR_PLUGIN_THREADS_THREADS_H
#define CCR_PLUGIN_THREADS_THREADS_H

#include <pthread.h>

#define REMAP_MAX_THREADS 64

struct remap_threads {
	void *(*run)(void *data);
	void *data;
	pthread_t list[REMAP_MAX_THREADS];
	long nr;
};

/* Calls `run` on as many threads as CRIU_CUDA_STREAMS and the CPUs allow, until all have ended. */
void ccr__remap_threads(void *(*run)(void *data), void *data);

/* The same in two steps, with `spared` threads less; perhaps on none, if they cannot be started. */
void ccr__remap_threads_begin(struct remap_threads *threads, long spared, void *(*run)(void *data),
			      void *data);
void ccr__remap_threads_end(struct remap_threads *threads);

#endif
