// SPDX-License-Identifier: MIT
/*
 * The driver's start takes 100 ms and more for each GPU that it may see. A helper that restores one
 * checkpoint sees only those that its GPU images name.
 */
#ifndef CCR_POOL_VISIBLE_H
#define CCR_POOL_VISIBLE_H

#include <stdbool.h>
#include <stddef.h>

/* A directory for each GPU of the machine, with a file `information`. */
#define VISIBLE_GPUS_DIR "/proc/driver/nvidia/gpus"

/*
 * A value for CUDA_VISIBLE_DEVICES: the UUIDs that the GPU images of a checkpoint name. Returns
 * false, with nothing in `out`, where it would hide nothing, or is not sure: an image cannot be
 * read, names something that is not a whole GPU of this machine, or is for the driver (store.h),
 * which wants contexts on others, too.
 */
bool visible_devices(int images_dir, const char *gpus_dir, char *out, size_t size);
/* Sets it for this process, before the driver starts, unless the user has. */
void visible_limit(int images_dir);

#endif
