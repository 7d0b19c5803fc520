// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_SAVE_H
#define CCR_POOL_SAVE_H

#include "pool/images/engine.h"

/* A GPU image that is being written. */
struct save;
/* Called once, on the thread that writes the image. `error` is empty when `result` is 0. */
typedef void (*save_ended)(void *argument, int result, const char *error, double ms);

/*
 * Starts a thread that writes `list` as the GPU image of `image_pid`. The list
 * must stay mapped until save_end, and `copied` is kept up to date until then.
 * NULL when out of memory; then `ended` is not called.
 */
struct save *save_begin(int images_dir, pid_t image_pid, const struct held_list *list,
			const struct copy_options *options, struct copy_progress *copied,
			save_ended ended, void *argument);
/*
 * Writes `list`, which is mapped, as the GPU image of `image_pid`, on the caller's thread. Returns
 * 0, or -errno with `error`; then there is no file of the image.
 */
int save_write(int images_dir, pid_t image_pid, const struct held_list *list,
	       const struct copy_options *options, struct copy_progress *copied, char *error,
	       size_t size);
/* Cancels the save if it is still running, which leaves no file of the image, and frees it. */
void save_end(struct save *save);

#endif
