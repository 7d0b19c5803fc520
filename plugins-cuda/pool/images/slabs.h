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

#endif
