/* SPDX-License-Identifier: MIT */
/* How much host memory is there for more? All of it is an estimate. */
#ifndef CCR_MEMORY_H
#define CCR_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "common/machine/text.h"

/* What the kernel can give without swapping, in bytes; UINT64_MAX if it does not say. `root` is a
 * descriptor of the root directory. */
uint64_t ccr_memory_available(int root, struct text *text);

/*
 * The same for the calling process, which the limits of its cgroups may leave less. `whose`
 * gets who has no more: "the machine", or "the memory limit of the cgroup PATH".
 */
uint64_t ccr_memory_room(int root, char *whose, size_t size);

#endif
