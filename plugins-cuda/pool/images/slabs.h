// SPDX-License-Identifier: MIT
/* The device memory that an image is loaded into. */
#ifndef CCR_POOL_SLABS_H
#define CCR_POOL_SLABS_H

#include "pool/images/load.h"

/* Room on every device for `copies` of what the image holds. */
bool slabs_have_room(const struct load *load, uint64_t copies);
/*
 * Allocates and maps `load->slabs` for all of `load->list`, and fills in where
 * each entry is. 0, or -errno with `load->error`.
 */
int slabs_create(struct load *load, struct cuda_parallel_range *ranges);

/*
 * Asked for room on a device that is full, until it answers false; NULL: images
 * are loaded for nobody but the one that needs them now.
 */
extern bool (*slabs_make_room)(int device);

#endif
