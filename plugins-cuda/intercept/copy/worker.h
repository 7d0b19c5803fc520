// SPDX-License-Identifier: MIT
/* What the caller's side of a copy (threads.c) and the threads' side (worker.c) share. */
#ifndef CCR_INTERCEPT_WORKER_H
#define CCR_INTERCEPT_WORKER_H

#include <pthread.h>

#include "intercept/copy/copy.h"
#include "intercept/copy/node.h"
#include "intercept/copy/range.h"

/* Two buffers a thread: one is filled or emptied while the device has the other. */
#define CCR__COPY_SLOTS 2
#define CCR__COPY_CHUNK CCR__RANGE_MAX

/* One copy, cut into pieces that the threads take in turn. */
struct ccr__copy_job {
	struct ccr__copy copy;
	size_t piece, nr_pieces;
	unsigned int max_threads;
	struct ccr__manners manners;
	unsigned int nr_threads; /* atomic, as all below: that took part */
	size_t next, nr_done;
	bool is_plain;	 /* the host memory, so that it need not be asked for page by page */
	bool is_refused; /* atomic: the host memory is not all there */
};

/*
 * The threads of one context. `use` is held by the one copy that is going on and
 * by who ends the threads; `lock` guards the rest and is never held over a
 * driver call.
 */
struct ccr__copy_threads {
	pthread_mutex_t use, lock;
	pthread_cond_t posted, changed;
	CUcontext ctx; /* NULL: free; also read under the lock of the table */
	struct ccr__node node;
	size_t seen;		 /* bytes of copies while there were no threads */
	unsigned int nr_alive;	 /* threads */
	unsigned int nr_working; /* of them, those that wait for a job or do it */
	unsigned int nr_left;	 /* that have not done with the job */
	uint64_t round;		 /* number of the last job */
	bool is_stopping;
	bool is_warm; /* atomic: a copy needs no thread and no buffer to be made */
	struct ccr__copy_job job;
};

/* Begins a thread for the next round. `lock` is held. 0 or -errno. */
int ccr__copy_worker_start(struct ccr__copy_threads *threads);

#endif
