// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_DEVICE_H
#define CCR_POOL_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "pool/device/pool.h"

/*
 * Memory in the pool's hands: a physical allocation, its own or one that it was
 * given, or a part of one (then the whole is an entry of another list).
 */
struct held {
	uint64_t id, size, address, requested;
	uint64_t offset, memory_size; /* of the part, of the whole */
	uint32_t device;	      /* ordinal in the pool */
	uint32_t flags;
	uint32_t whole; /* its index, for a part */
	int fd;		/* stays open: an imported handle cannot be exported a second time */
	CUmemGenericAllocationHandle handle; /* 0 for a part, or not made yet */
	CUdeviceptr mapped;		     /* in the pool's address space, 0 when it is not */
};

/* Consecutive entries of one device, mapped side by side. */
struct arena {
	CUdeviceptr base;
	uint64_t bytes;
};

struct held_list {
	struct held *entries;
	size_t nr, room;
	uint64_t bytes;
	struct arena *arenas; /* while it is mapped */
	size_t nr_arenas;
};

/* CUresult failures are logged and returned as -EIO, -ENOMEM when the device is full. */

/*
 * Begins cuInit and the list of devices in a thread of its own, since it takes
 * a tenth of a second in which criu and the application can go on.
 */
void pool_device_begin(void);
/* Waits for it; 0 or -errno with `error`. Before any other call here. */
int pool_device_wait(char *error, size_t size);
/* Retains the primary context of a device and makes it current in this thread. */
int pool_device_use(int device);
/* Ordinal of the device with this UUID, or -ENODEV. */
int pool_device_find(const uint8_t uuid[16]);
/* Bytes that are free on a device, and that it has. */
int pool_device_memory(int device, size_t *free_bytes, size_t *total_bytes);
int held_add(struct held_list *list, const struct held *held);
/* Imports the memory behind `held->fd`, which stays open. */
int held_import(struct held *held);
/* Fresh exportable memory of `held->size` on `held->device`. */
int held_create(struct held *held);
/* Its descriptor, when it has none yet: as slow as the allocation itself. */
int held_export(struct held *held);
/*
 * Maps all of a list for copying, with one call for the access to each arena:
 * that is what takes the time with thousands of allocations.
 */
int held_map_all(struct held_list *list);
void held_unmap_all(struct held_list *list);
/* Drops every reference: the memory is free when nobody else has one. */
void held_free_all(struct held_list *list);

#endif
