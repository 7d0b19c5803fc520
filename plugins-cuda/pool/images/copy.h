// SPDX-License-Identifier: MIT
/*
 * Between memory in the pool's hands and GPU images: engine.c, save.c and
 * load.c are the only files that know the transfer engine. All of it may be
 * called from any thread.
 */
#ifndef CCR_POOL_COPY_H
#define CCR_POOL_COPY_H

#include "image/image.h"
#include "pool/device/pool.h"
#include "transfer/transfer.h"

/* Of one operation, as the plugin sent them. */
struct copy_options {
	uint32_t streams, chunk_mb, verify, io;
	/* load */
	enum ccr_attach_mode mode;
	struct ccr_device_map map;
};

/* ---- engine.c ---- */

/*
 * The one engine of the process, made on first use for `devices` with the
 * streams and the chunk size of `options`; later ones get it as it is. 0 or
 * -errno with `error`.
 */
int engine_get(struct cuda_parallel_engine **engine, const struct copy_options *options,
	       const int *devices, uint32_t nr_devices, char *error, size_t size);
/* The engine's configuration with verify and io of `options`. */
struct cuda_parallel_config engine_config(const struct cuda_parallel_engine *engine,
					  const struct copy_options *options);
/* Those of the pool's own settings. */
struct copy_options engine_own_options(void);
double now_ms(void);

/* ---- save.c ---- */

/* One GPU image on its way out. */
struct save;
/* Called once, on the thread of the save. `error` is empty for result 0. */
typedef void (*save_ended)(void *argument, int result, const char *error, double ms);

/*
 * Begins to write `list`, which is mapped and stays so until save_end, as the
 * GPU image of `image_pid`. NULL without memory for it: `ended` is not called.
 */
struct save *save_begin(int images_dir, pid_t image_pid, const struct held_list *list,
			const struct copy_options *options, save_ended ended, void *argument);
/* Breaks it off when it is still running, in which case nothing of the image is left. */
void save_end(struct save *save);

/* ---- load.c ---- */

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
/* Bytes on one device. */
uint64_t load_bytes_on(const struct load *load, int device);

#endif
