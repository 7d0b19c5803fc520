// SPDX-License-Identifier: MIT
/*
 * Device memory the interceptor looks after: physical allocations (cuMemCreate
 * ones of the program, and those that stand for a cuMemAlloc) and where they
 * are mapped. The program holds an allocation by a number of ours, because the
 * driver's handle changes when the memory comes back from an image.
 *
 * `lock` guards both tables. It is never held while waiting for the device. With
 * the gate closed only the service thread is here.
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

struct ccr__phys {
	struct ccr__phys *next, *prev;	     /* of all */
	struct ccr__phys *next_id;	     /* of one bucket */
	CUmemGenericAllocationHandle handle; /* the driver's; 0 while evicted */
	CUmemAllocationProp prop;	     /* as we created it */
	CUmemAllocationHandleType asked;     /* as the program asked */
	uint64_t id, size, requested;
	uint32_t device;
	uint32_t app_refs; /* handles the program holds */
	uint32_t nr_maps;
	struct ccr__mapping *maps; /* where it is mapped */
	bool is_own_vmm;	   /* the program's cuMemCreate */
	bool is_excluded;	   /* somebody else may use it: stays where it is */
	bool is_imported;	   /* the pool's memory, mapped: cannot be exported */
	bool is_attached;	   /* while memory comes back: it is here already */
};

struct ccr__mapping {
	struct ccr__mapping *next; /* of the same allocation */
	CUdeviceptr base;
	uint64_t size, offset;
	struct ccr__phys *phys;
	CUcontext ctx; /* of a cuMemAlloc: the one it belongs to */
	bool is_alloc;
	bool is_freeing; /* a thread waits for the device, then frees it */
	uint8_t access[CCR_MAX_DEVICES];
};

struct ccr__memory {
	pthread_mutex_t lock;
	struct ccr__phys *all;
	struct ccr__mapping **mappings; /* sorted by base, never overlapping */
	size_t nr_mappings, room;
	uint64_t next_id;
	bool is_evicted;
	bool leave_to_driver; /* the program shares cuMemAlloc memory by IPC */
	uint32_t nr_foreign;  /* imported handles, which we never hold */
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

/* table.c; all want the lock. */

/* A new record without a handle, or NULL. */
struct ccr__phys *ccr__phys_new(uint64_t size);
void ccr__phys_forget(struct ccr__phys *phys);
struct ccr__phys *ccr__phys_by_id(uint64_t id);
/* What the program holds <-> the record; NULL for a handle that is not ours. */
CUmemGenericAllocationHandle ccr__phys_to_app(const struct ccr__phys *phys);
struct ccr__phys *ccr__phys_from_app(CUmemGenericAllocationHandle handle);
/* Index of the first mapping that ends after `address`. */
size_t ccr__mapping_after(CUdeviceptr address);
/* The mapping that holds `address`, or NULL. */
struct ccr__mapping *ccr__mapping_at(CUdeviceptr address);
/* Copies `mapping` into the table; NULL when there is no memory. */
struct ccr__mapping *ccr__mapping_add(const struct ccr__mapping *mapping);
/* Takes it out of the table, the caller frees it. */
void ccr__mapping_remove(struct ccr__mapping *mapping);

/* device.c */

struct ccr__device {
	bool is_known, can_replace, is_rdma;
	uint64_t granularity;
};
const struct ccr__device *ccr__device_get(CUdevice device);
/* cuMemCreate properties of memory that stands for a cuMemAlloc. */
CUmemAllocationProp ccr__device_prop(CUdevice device);

/* place.c: the driver side of one mapping or allocation. */

/* Access rights as recorded; several devices at once. */
CUresult ccr__place_access(const struct ccr__mapping *mapping);
/* Maps `handle` where the record says, with its access rights. Undone on failure. */
CUresult ccr__place_map(const struct ccr__mapping *mapping, CUmemGenericAllocationHandle handle);
/* The same for all mappings of an allocation. */
CUresult ccr__place_map_all(struct ccr__phys *phys, CUmemGenericAllocationHandle handle);
CUresult ccr__place_unmap_all(struct ccr__phys *phys);
/* Drops the driver's handle when neither the program nor a mapping needs it; forgets the record. */
void ccr__place_release(struct ccr__phys *phys);

#endif
