// SPDX-License-Identifier: MIT
/* The device memory that an image is loaded into. */
#ifndef CCR_POOL_SLABS_H
#define CCR_POOL_SLABS_H

#include "pool/images/load.h"

/* True when every device has room for `copies` copies of the image. */
bool slabs_have_room(const struct load *load, uint64_t copies);
/*
 * Allocates and maps `load->slabs` for all of `load->list`, and fills in where
 * each entry is. Returns 0, or -errno with `load->error`.
 */
int slabs_create(struct load *load, struct cuda_parallel_range *ranges);

/*
 * Gives entries of `load->list` descriptors, those that have none. Call it without load->lock,
 * which the copying threads need: an export waits for other processes that create or map memory.
 * Returns 0 or -errno.
 */
int slabs_export(struct load *load, size_t first, size_t end);

/*
 * Called when a device is full, until there is room or it returns false. NULL
 * in a helper, which keeps no images.
 */
extern bool (*slabs_make_room)(int device);

#endif
