// SPDX-License-Identifier: MIT
/*
 * Images that wait for a process whose memory the driver takes. The driver gives memory only while
 * it restores the process, so what was loaded before is copied: within the device, or from pinned
 * host memory where a device has no room for both.
 */
#ifndef CCR_POOL_WAITING_H
#define CCR_POOL_WAITING_H

#include "pool/device/storage.h"
#include "pool/images/load.h"

/* Whether the devices have room for these bytes on each, and for a process that gets a copy. */
bool waiting_has_room(const uint64_t *bytes_on);
/* For load.c: reads the image into host memory, which it allocates. Returns 0, or -errno with
 * `load->error`. */
int waiting_read(struct load *load);
/* For load.c: frees the host memory, if there is any. */
void waiting_free(struct load *load);
/*
 * Copies all of it to the mapped memory, which must have the same bytes on each device, and waits
 * for the end. Returns 0, or -errno with `error`.
 */
int waiting_copy(const struct load *load, const struct storage *storage,
		 struct copy_progress *copied, char *error, size_t size);

#endif
