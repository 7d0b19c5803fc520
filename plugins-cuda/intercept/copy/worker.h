// SPDX-License-Identifier: MIT
/* What the caller's side of a copy (threads.c) and the threads' side (worker.c) share. */
#ifndef CCR_INTERCEPT_WORKER_H
#define CCR_INTERCEPT_WORKER_H

#include <pthread.h>

#include "intercept/copy/copy.h"
#include "intercept/copy/node.h"
#include "intercept/copy/range.h"

/* Each thread has two buffers: one is filled or emptied while the device uses the other. */
#define CCR__COPY_SLOTS 2
#define CCR__COPY_CHUNK CCR__RANGE_MAX

/* One copy, cut into pieces; each thread takes the next one. */
struct ccr__copy_job {
	struct ccr__copy copy;
	size_t piece, nr_pieces;
	unsigned int max_threads;
	struct ccr__scheduling scheduling;
	unsigned int nr_threads; /* that took part; atomic, like all below */
	size_t next, nr_done;
	bool is_plain;	 /* the host memory is anonymous and need not be checked page by page */
	bool is_refused; /* atomic: some host memory is missing or protected */
};

/*
 * The threads of one context. The copy in progress, or the thread that ends the
 * others, holds `use`. `lock` guards the rest and is never held during a driver
 * call.
 */
struct ccr__copy_threads {
	pthread_mutex_t use, lock;
	pthread_cond_t posted, changed;
	CUcontext ctx; /* NULL: the entry is free; also read under the lock of the table */
	struct ccr__node node;
	size_t seen;		 /* bytes that were copied while there were no threads */
	unsigned int nr_alive;	 /* number of threads */
	unsigned int nr_working; /* number of threads that wait for a job or work on one */
	unsigned int nr_left;	 /* number of threads that have not finished the job */
	uint64_t round;		 /* number of the last job */
	bool is_stopping;
	bool is_warm; /* atomic: a copy needs no new threads and buffers */
	struct ccr__copy_job job;
};

/* Starts a thread for the next round. The caller holds `lock`. Returns 0 or -errno. */
int ccr__copy_worker_start(struct ccr__copy_threads *threads);

#endif
