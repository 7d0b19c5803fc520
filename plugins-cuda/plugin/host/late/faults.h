// SPDX-License-Identifier: GPL-2.0-only
/* What the parts of late memory share; faults.c has the thread that brings in pages for which the
 * restore thread waits. */
#ifndef CCR_PLUGIN_LATE_FAULTS_H
#define CCR_PLUGIN_LATE_FAULTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "plugin/host/late/late.h"
#include "plugin/host/remap/remap.h"

struct late {
	struct late *next; /* of those that were abandoned */
	pid_t pid;
	int fd;	  /* the userfaultfd */
	int stop; /* readable: the thread is to end */
	struct remap_ranges ranges;
	const struct ccr_pages *pages;
	int file; /* the page file */
	pthread_t thread;
	bool has_thread;
	atomic_int failure; /* 0 or -errno */
	uint64_t nr_faults;
	/*
	 * Held for writing while a message is taken: the task does what it reports as soon as the
	 * kernel has given it to us. Held for reading while pages are brought in.
	 */
	pthread_rwlock_t lock;
	struct remap_ranges gone;   /* dropped or unmapped by the task: its bytes are not wanted */
	struct remap_ranges missed; /* nothing of ours was mapped there */
};

/* choose.c: the ranges that are to be late. Returns 0 or -ENOMEM; the caller frees the list. */
int ccr__late_choose(struct remap_ranges *ranges, const struct ccr_pages *pages);
/* Reads whole pages of them; a page without data is zero. Returns 0 or -errno. */
int ccr__late_read(const struct late *late, uint64_t address, char *bytes, size_t size);

/* Starts the thread. Returns 0 or -errno. */
int ccr__faults_start(struct late *late);
/* Ends it, if there is one. */
void ccr__faults_stop(struct late *late);

#endif
