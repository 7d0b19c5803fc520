// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_LOAD_H
#define CCR_POOL_LOAD_H

#include "pool/images/engine.h"

/* Pids that have a GPU image in the directory; `*pids` is the caller's to free. 0 or -errno. */
int load_list_images(int images_dir, pid_t **pids, size_t *nr);

/* One GPU image on its way into device memory, or there. Counted: its memory ends with the last
 * reference. */
struct load {
	struct load *next; /* the holder's */
	pid_t image_pid;
	struct held_list list; /* what the image holds: parts of `slabs`, or memory of its own */
	struct held_list slabs;
	pthread_mutex_t lock;
	pthread_cond_t progress;
	bool *ready; /* per entry of `list` */
	bool ended;
	int result; /* once ended */
	double ms;  /* from open to the last byte on the device; 0: it never left */
	char error[384];
	/* private */
	unsigned int references;
	pthread_t thread;
	bool has_thread;
	struct ccr_image *image;
	struct copy_options options;
	struct cuda_parallel_job job;
};

/* Opens and checks the image, then allocates and loads in a thread. NULL with `error`. */
struct load *load_begin(int images_dir, pid_t image_pid, const struct copy_options *options,
			char *error, size_t size);
/* Memory that is there already; takes the list over. NULL without memory. */
struct load *load_of_held(pid_t image_pid, struct held_list *list);
struct load *load_ref(struct load *load);
/* False when the process would have to adopt it and the devices have no room for that any more. */
bool load_can_be_taken(struct load *load);
/* The last reference breaks a running load off and frees the memory. NULL is fine. */
void load_put(struct load *load);
/*
 * Waits until entry `first` is in place and returns the end of the ones in place
 * after it, each with its descriptor; or the -errno of the load.
 */
ssize_t load_take_ready(struct load *load, size_t first);
/* Waits for its end; the result. */
int load_wait(struct load *load);
#endif
