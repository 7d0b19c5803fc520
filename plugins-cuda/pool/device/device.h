// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_DEVICE_H
#define CCR_POOL_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "pool/device/pool.h"

/*
 * Memory that the pool holds: a physical allocation, which it created or was
 * given, or a part of one. The whole of a part is an entry of another list.
 */
struct held {
	uint64_t id, size, address, requested;
	uint64_t offset, memory_size; /* of the part in the whole; of the whole */
	uint32_t device;	      /* ordinal in the pool */
	uint32_t flags;
	uint32_t whole; /* for a part: the index of its whole */
	int fd;		/* stays open: an imported handle cannot be exported a second time */
	CUmemGenericAllocationHandle handle; /* 0 for a part, or while it is not created */
	CUdeviceptr mapped;		     /* address in the pool, 0 while not mapped */
};

/* Consecutive entries of one device that are mapped at consecutive addresses. */
struct arena {
	CUdeviceptr base;
	uint64_t bytes;
};

/* In `flags`: memory that the driver has mapped here, of which there is no handle (storage.h). */
#define HELD_DRIVER 0x80000000u

struct held_list {
	struct held *entries;
	size_t nr, room;
	uint64_t bytes;
	struct arena *arenas; /* while the list is mapped */
	size_t nr_arenas;
};

/* Driver failures are logged and returned as -ENOMEM when the device is full, else as -EIO. */

/*
 * Starts a thread that calls cuInit and lists the devices. That takes about 100
 * ms, in which criu and the application keep running.
 */
void pool_device_begin(void);
/* Waits for that thread. Returns 0, or -errno with `error`. Call it before the functions below. */
int pool_device_wait(char *error, size_t size);
/* Retains the primary context of a device and makes it current in this thread. */
int pool_device_use(int device);
/* Whether the pool has a context on a device. */
bool pool_device_is_in_use(int device);
/* Ordinal of the device with this UUID, or -ENODEV. */
int pool_device_find(const uint8_t uuid[16]);
/* Free and total bytes of a device. */
int pool_device_memory(int device, size_t *free_bytes, size_t *total_bytes);
int held_add(struct held_list *list, const struct held *held);
/* Imports the memory behind `held->fd`, which stays open. */
int held_import(struct held *held);
/* Creates exportable memory of `held->size` bytes on `held->device`. */
int held_create(struct held *held);
/* Exports a descriptor unless there is one already. Takes as long as the allocation itself. */
int held_export(struct held *held);
/*
 * Maps a whole list for copying. Access is set with one call per arena, because
 * that call is the slow one with thousands of allocations.
 */
int held_map_all(struct held_list *list);
void held_unmap_all(struct held_list *list);
/* Drops our reference to the memory of one entry; its descriptor stays open. */
void held_release(struct held *held);
/* Drops our references; the driver frees memory when its last reference is gone. */
void held_free_all(struct held_list *list);

#endif
