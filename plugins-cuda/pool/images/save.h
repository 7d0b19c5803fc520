// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_SAVE_H
#define CCR_POOL_SAVE_H

#include "pool/images/engine.h"

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

#endif
