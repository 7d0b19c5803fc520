// SPDX-License-Identifier: MIT
/* Between memory in the pool's hands and GPU images: the only file that knows the transfer engine.
 */
#ifndef CCR_POOL_COPY_H
#define CCR_POOL_COPY_H

#include "pool/pool.h"

struct ccr_image;

/* Of one operation, as the plugin sent them. */
struct copy_options {
	uint32_t streams, chunk_mb, verify, io;
};

/* Writes `list` as the GPU image of `image_pid`. 0 or -errno with `error`; nothing is left behind
 * then. */
int copy_save(int images_dir, pid_t image_pid, const struct held_list *list,
	      const struct copy_options *options, char *error, size_t size);

/* Pids that have a GPU image in the directory; `*pids` is the caller's to free. 0 or -errno. */
int copy_list_images(int images_dir, pid_t **pids, size_t *nr);

/* One GPU image on its way into device memory; made and freed by the functions below. */
struct load {
	struct load *next;
	pid_t image_pid;
	struct held_list list;
	pthread_mutex_t lock;
	pthread_cond_t progress;
	bool *ready;	 /* per entry of `list` */
	size_t nr_ready; /* of them */
	bool ended;
	int result; /* once ended */
	double ms;  /* from open to the last byte on the device */
	char error[256];
	/* private */
	pthread_t thread;
	struct ccr_image *image;
	struct copy_options options;
};

/* Opens and checks the image, allocates its memory and starts loading in a thread. NULL with
 * `error`. */
struct load *load_begin(int images_dir, pid_t image_pid, const struct copy_options *options,
			char *error, size_t size);
/* Waits for the thread and drops the memory that nobody took. */
void load_free(struct load *load);

#endif
