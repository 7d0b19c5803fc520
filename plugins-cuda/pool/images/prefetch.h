// SPDX-License-Identifier: MIT
/* How images become resident. */
#ifndef CCR_POOL_PREFETCH_H
#define CCR_POOL_PREFETCH_H

#include "pool/images/identity.h"
#include "pool/images/load.h"

/* Loads every image of the directory and waits until they are resident. Returns 0 or -errno. */
int prefetch_images(const char *dir, bool is_golden, char *error, size_t size);

/*
 * Begins to load an image whose stripes still arrive, see load_arrived. The caller gets a reference
 * to the load and the number of its entry, and calls resident_give_up if it fails. Returns 0 or
 * -errno.
 */
int prefetch_arriving(int images_dir, pid_t image_pid, bool is_golden,
		      struct image_identity *identity, uint64_t *number, struct load **load,
		      char *error, size_t size);

/*
 * Begins to load every image of the directory, before the driver has started, and does not wait.
 * Those that fail stay: a restore that takes one reports why. Returns 0 or -errno.
 */
int prefetch_begin(int images_dir, char *error, size_t size);

/*
 * Keeps memory that a dump evicted and whose image is written. Takes ownership
 * of the list. Returns -ENOSPC when the budget has no room.
 */
int prefetch_hold(int images_dir, pid_t image_pid, struct held_list *list);

#endif
