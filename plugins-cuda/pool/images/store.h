// SPDX-License-Identifier: MIT
/*
 * The bytes of memory that the driver has mapped here (device/storage.h), in a GPU
 * image or in host memory. Functions return 0, or -errno with `error`.
 */
#ifndef CCR_POOL_STORE_H
#define CCR_POOL_STORE_H

#include "pool/device/storage.h"
#include "pool/images/engine.h"

/* A copy in host memory, for a process whose image cannot be written. */
struct kept {
	char *memory;
	uint64_t bytes;
	struct {
		uint32_t device;
		uint64_t offset, size;
	} parts[CCR_MAX_DEVICES];
	uint32_t nr_parts;
};

/* Devices of an image that the options map to others, in the order of the image. */
int store_devices(const struct ccr_image *image, const struct copy_options *options, int *devices,
		  char *error, size_t size);
/* Context, threads and staging buffers for a copy that is to come. */
int store_prepare(const int *devices, uint32_t nr_devices, const struct copy_options *options,
		  char *error, size_t size);
/*
 * Copies an image to the mapped memory, which must have the same bytes on each
 * device. The order of the devices does not matter.
 */
int store_load(const struct ccr_image *image, const struct storage *storage,
	       const struct copy_options *options, struct copy_progress *copied, char *error,
	       size_t size);
/* What is mapped on a device, or NULL. */
const struct held *store_mapped_on(const struct storage *storage, int device);
/* -ENOMEM: the machine, or a memory limit of the pool's cgroups, does not have that much. */
int store_host_has_room(uint64_t bytes, char *error, size_t size);
/* The same error. */
int store_keep(const struct storage *storage, const struct copy_options *options, struct kept *kept,
	       char *error, size_t size);
int store_put_back(const struct kept *kept, const struct storage *storage,
		   const struct copy_options *options, char *error, size_t size);
void store_forget(struct kept *kept);

#endif
