// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_LOAD_H
#define CCR_POOL_LOAD_H

#include "pool/images/engine.h"

/*
 * Lists the pids with a GPU image in the checkpoint of the directory; the caller
 * frees `*pids`. Returns 0, or -errno, then with a sentence in `error` or none.
 */
int load_list_images(int images_dir, pid_t **pids, size_t *nr, char *error, size_t size);

/*
 * A GPU image that is loading or loaded. Dropping the last reference frees its memory. That of a
 * process whose memory the driver takes is only copied to the process (waiting.h), so that it may
 * be in host memory.
 */
struct load {
	struct load *next; /* for lists of the owner */
	pid_t image_pid;
	struct held_list list; /* the allocations: parts of `slabs`, or own memory */
	struct held_list slabs;
	bool is_driver; /* the driver takes it */
	char *host;	/* of `list`, instead of `slabs`, in host memory; NULL: it is not there */
	uint64_t host_bytes;
	bool is_registered;	   /* the driver has pinned `host` */
	pthread_mutex_t exporting; /* the descriptors of `list` and `slabs` */
	pthread_mutex_t lock;	   /* `ready`, `ended` and what is valid then */
	pthread_cond_t progress;
	bool *ready; /* per entry of `list` */
	struct copy_progress copied;
	bool ended;
	int ended_fd; /* readable once `ended`; -1: it has no thread */
	int result;   /* valid once `ended` */
	double ms;    /* from open to the last byte on the device; 0 if it never left */
	char error[384];
	void *manifest; /* of the image, its identity; NULL: its memory may differ from it */
	size_t manifest_size;
	struct ccr_image_import *imports; /* memory of other images that the process maps */
	uint32_t nr_imports;
	/* private */
	unsigned int references;
	pthread_t thread;
	bool has_thread;
	struct ccr_image *image;
	struct copy_options options;
	struct cuda_parallel_job job;
	/* of one whose stripes arrive (load_state.c); under the lock */
	struct cuda_parallel_engine *engine; /* that copies; NULL: it has not begun */
	atomic_bool *arrived;		     /* per stripe; NULL: all were there */
	uint32_t nr_missing;
	char given_up[256]; /* why; empty: it was not */
};

/*
 * Opens and checks the image, then starts a thread that loads it. On failure NULL, with `result`,
 * which is -ENODEV when this machine or a daemon lacks a device, -EMEDIUMTYPE when the driver takes
 * the memory (store.h) and the options do not say so, and `error`.
 */
struct load *load_begin(int images_dir, pid_t image_pid, const struct copy_options *options,
			int *result, char *error, size_t size);
/*
 * Wraps memory that is on the device already, and in the image of the directory; takes ownership of
 * the list. NULL: out of memory.
 */
struct load *load_of_held(int images_dir, pid_t image_pid, struct held_list *list);
/*
 * Loads with `is_arriving`: a stripe is in the directory, whole and with its name, only when it is
 * said to be; what is loaded waits for it, and nothing else does. expect: notes those that are
 * there. arrived: opens one; a name of no stripe that is missing is ignored. give_up: ends the load
 * with -ECANCELED and this reason, unless it has ended. missing: the number of stripes that have
 * not arrived. wait_for_stripes: until all have, or -ECANCELED.
 */
int load_expect(struct load *load);
int load_arrived(struct load *load, const char *name, char *error, size_t size);
void load_give_up(struct load *load, const char *why);
uint32_t load_missing(struct load *load);
int load_wait_for_stripes(struct load *load);
struct load *load_ref(struct load *load);
/* False when the process would have to adopt the memory and the devices lack room for that. */
bool load_can_be_taken(struct load *load);
/* Drops a reference. The last one cancels a running load and frees the memory. NULL is fine. */
void load_put(struct load *load);
/*
 * Waits until entry `first` is loaded. Returns the end of the loaded entries
 * that start there, each of which has a descriptor, or the -errno of the load.
 */
ssize_t load_take_ready(struct load *load, size_t first);
bool load_has_ended(struct load *load);
/* Waits for the end of the load. Returns its result: 0 or -errno. */
int load_wait(struct load *load);
/* The same, or -EPIPE when the peer of the socket has closed its end first. */
int load_wait_for(struct load *load, int socket);
/* Milliseconds from open to the last byte on the device; 0 until then, or if it never left. */
double load_duration_ms(struct load *load);
#endif
