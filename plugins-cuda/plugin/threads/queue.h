// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work of several tasks for one set of threads, as many as CRIU_CUDA_STREAMS and
 * the CPUs allow: pieces of what was added first are begun first. Criu's main
 * thread, the only one that may trace, adds the work and watches its end.
 */
#ifndef CCR_PLUGIN_THREADS_QUEUE_H
#define CCR_PLUGIN_THREADS_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "image/pages/pages.h"

#define WORK_BUFFER CCR_PAGES_BUFFER

struct work {
	/* Called on any thread, once for each piece. After an error, no other piece is begun. */
	int (*run)(void *data, size_t piece, char buffer[WORK_BUFFER]);
	void *data;
	size_t nr_pieces;
	bool can_wait;	   /* comes after all work that cannot */
	double start, end; /* of the first and the last piece; 0: there was none */
	/* private */
	struct work *next;
	size_t nr_begun, nr_running;
	int result;
};

/* Starts the threads. Without any, the work is done by ccr__work_is_done. Returns 0 or -errno. */
int ccr__work_start(void);
/* False: the work will be done by ccr__work_is_done. */
bool ccr__work_has_threads(void);
/* The work must stay where it is until it is done, or until ccr__work_stop. */
void ccr__work_add(struct work *work);
/* Whether no piece is left or running; then `result` is 0 or the first error. */
bool ccr__work_is_done(struct work *work, int *result);
/* Is readable when some work may be done; -1 before ccr__work_start. */
int ccr__work_fd(void);
/* Call before ccr__work_is_done. */
void ccr__work_clear_fd(void);
/* Drops what was not begun (its result is -ECANCELED), and waits for the threads. Nothing happens
 * if none were started. */
void ccr__work_stop(void);

#endif
