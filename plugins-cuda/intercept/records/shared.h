// SPDX-License-Identifier: MIT
/*
 * Memory that other processes share with the program, and that stays with the driver: what
 * it has imported and not yet given back, and what it has exported and not yet freed. (What
 * can move is in kept.h.) The numbers are published in the mailbox. The caller holds the
 * lock of records.h.
 */
#ifndef CCR_INTERCEPT_SHARED_H
#define CCR_INTERCEPT_SHARED_H

#include "intercept/records/records.h"

/* What an import or export is known by to the program. */
enum ccr__shared_kind {
	CCR__IMPORTED_HANDLE,	/* the driver's allocation handle; stays as long as it is mapped */
	CCR__IMPORTED_ADDRESS,	/* of cuIpcOpenMemHandle */
	CCR__IMPORTED_POOL,	/* CUmemoryPool */
	CCR__IMPORTED_EXTERNAL, /* CUexternalMemory */
	CCR__IMPORTED_ENDPOINT, /* CUlogicalEndpointId */
	CCR__EXPORTED_HANDLE,	/* the driver's allocation handle */
	CCR__EXPORTED_ADDRESS,	/* of cuIpcGetMemHandle */
	CCR__MULTICAST,		/* handle of a multicast object */
	CCR__SHARED_EVENT,	/* CUevent, of cuIpcGetEventHandle or cuIpcOpenEventHandle */
};

/* Counts one more reference. An import of something already imported counts once. */
void ccr__shared_add(enum ccr__shared_kind kind, uint64_t key);
/* Drops a reference. Does nothing for what was not shared. */
void ccr__shared_drop(enum ccr__shared_kind kind, uint64_t key);
/* Without the lock: whether there are shared events. */
bool ccr__shared_has_events(void);
/* Drops all of them. Returns whether there was one. */
bool ccr__shared_drop_all(enum ccr__shared_kind kind, uint64_t key);
/* An imported allocation was mapped, or everything in a range was unmapped. */
void ccr__shared_mapped(CUmemGenericAllocationHandle handle, CUdeviceptr base, uint64_t size);
void ccr__shared_unmapped(CUdeviceptr base, uint64_t size);
/* The program got another reference to the imported allocation at an address. */
void ccr__shared_retained(CUmemGenericAllocationHandle handle, CUdeviceptr address);

#endif
