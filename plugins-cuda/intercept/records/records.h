// SPDX-License-Identifier: MIT
/*
 * The device memory that the interceptor manages: physical allocations (those
 * that the program made with cuMemCreate, and those that replace a cuMemAlloc)
 * and where they are mapped. The program knows an allocation by our number,
 * because the driver's handle changes when the memory is loaded again.
 *
 * `lock` guards both tables. It is never held while waiting for the device. While
 * the gate is closed, only the service thread uses the tables.
 */
#ifndef CCR_INTERCEPT_MEMORY_H
#define CCR_INTERCEPT_MEMORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/protocol/protocol.h"
#include "intercept/core/core.h"
#include "intercept/core/real.h"

#define CCR_REPLACE_MIN (2ull << 20)

struct ccr__mapping;
struct ccr__kept;
struct ccr__ipc;

struct ccr__phys {
	struct ccr__phys *next, *prev;	     /* in the list of all */
	struct ccr__phys *next_id;	     /* in the same bucket */
	CUmemGenericAllocationHandle handle; /* the driver's; 0 while evicted */
	CUmemAllocationProp prop;	     /* with which we created it */
	CUmemAllocationHandleType asked;     /* the handle type that the program asked for */
	uint64_t id, size, requested;
	uint32_t device;
	uint32_t app_refs; /* number of handles that the program has */
	uint32_t nr_maps;
	struct ccr__mapping *maps; /* where it is mapped */
	struct ccr__kept *kept;	   /* descriptors by which others know it, or we do; kept.h */
	struct ccr__ipc *ipc;	   /* ipc.h; NULL: there is no CUDA IPC handle of it */
	bool is_own_vmm;	   /* the program made it with cuMemCreate */
	bool is_excluded;	   /* it is shared with others: the driver keeps it */
	bool is_exported;	   /* counted in the mailbox */
	bool is_imported;	   /* it is the pool's memory, only mapped: cannot be exported */
	bool is_foreign;	   /* the program has imported it from another process */
	bool is_attached;	   /* during an attach: it is already mapped */
};

struct ccr__mapping {
	struct ccr__mapping *next; /* of the same allocation */
	CUdeviceptr base;
	uint64_t size, offset;
	struct ccr__phys *phys;
	CUcontext ctx; /* the context of a cuMemAlloc */
	bool is_alloc;
	bool is_freeing; /* a thread waits for the device and then frees it */
	uint8_t access[CCR_MAX_DEVICES];
};

struct ccr__memory {
	pthread_mutex_t lock;
	struct ccr__phys *all;
	struct ccr__mapping **mappings; /* sorted by base, never overlapping */
	size_t nr_mappings, room;
	uint64_t next_id;
	bool is_evicted;
	bool is_placed; /* all of it is mapped again, but the gate waits for a decision */
};

extern struct ccr__memory ccr__memory;

static inline void ccr__memory_lock(void)
{
	pthread_mutex_lock(&ccr__memory.lock);
}

static inline void ccr__memory_unlock(void)
{
	pthread_mutex_unlock(&ccr__memory.lock);
}

/* table.c; the caller holds the lock. */

/* Returns a new record without a handle, or NULL. */
struct ccr__phys *ccr__phys_new(uint64_t size);
void ccr__phys_forget(struct ccr__phys *phys);
/* We could not restore it or its mappings exactly as they are: the driver keeps it. */
void ccr__phys_exclude(struct ccr__phys *phys, const char *why);
struct ccr__phys *ccr__phys_by_id(uint64_t id);
/* Convert between the program's handle and the record; NULL for a handle that is not ours. */
CUmemGenericAllocationHandle ccr__phys_to_app(const struct ccr__phys *phys);
struct ccr__phys *ccr__phys_from_app(CUmemGenericAllocationHandle handle);
/* Returns the index of the first mapping that ends after `address`. */
size_t ccr__mapping_after(CUdeviceptr address);
/* Returns the mapping that contains `address`, or NULL. */
struct ccr__mapping *ccr__mapping_at(CUdeviceptr address);
/* Copies `mapping` into the table. Returns the copy, or NULL when out of memory. */
struct ccr__mapping *ccr__mapping_add(const struct ccr__mapping *mapping);
/* Removes it from the table; the caller frees it. */
void ccr__mapping_remove(struct ccr__mapping *mapping);

/* device.c */

struct ccr__device {
	bool is_known, can_replace, is_rdma;
	bool has_words; /* its streams write 64-bit words and wait for them */
	uint64_t granularity;
};
const struct ccr__device *ccr__device_get(CUdevice device);
/* The cuMemCreate properties for memory that replaces a cuMemAlloc. */
CUmemAllocationProp ccr__device_prop(CUdevice device);

/* place.c: the driver side of one mapping or allocation. */

/* Sets the recorded access rights, for several devices at once. */
CUresult ccr__place_access(const struct ccr__mapping *mapping);
/* Maps `handle` at the recorded address with its access rights. On failure nothing is mapped. */
CUresult ccr__place_map(const struct ccr__mapping *mapping, CUmemGenericAllocationHandle handle);
/* The same for all mappings of an allocation. */
CUresult ccr__place_map_all(struct ccr__phys *phys, CUmemGenericAllocationHandle handle);
CUresult ccr__place_unmap_all(struct ccr__phys *phys);
/* If neither the program nor a mapping needs the allocation, releases its handle and the record. */
void ccr__place_release(struct ccr__phys *phys);

#endif
