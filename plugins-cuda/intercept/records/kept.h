// SPDX-License-Identifier: MIT
/*
 * Memory that moves although processes share it. The pool has to find out which
 * import of one process is which export of another: they have the same open file, so the
 * keeper keeps the descriptor of each. The numbers of such imports and exports are in the
 * mailbox. The caller holds the lock of records.h.
 */
#ifndef CCR_INTERCEPT_KEPT_H
#define CCR_INTERCEPT_KEPT_H

#include "intercept/records/records.h"

/* A descriptor of an allocation. */
struct ccr__kept {
	struct ccr__kept *next;
	uint64_t number; /* in the keeper */
};

/*
 * Returns the record of memory that the program has imported with a descriptor, or NULL: then
 * it cannot move, and the program has the driver's handle. `handle` becomes the record's.
 */
struct ccr__phys *ccr__kept_import(CUmemGenericAllocationHandle handle, int fd);
/* The program has exported an allocation. If the descriptor cannot be kept, the driver keeps it. */
void ccr__kept_export(struct ccr__phys *phys, int fd);
/* The same for a CUDA IPC handle, which is only made if the descriptor is kept: 0 or -errno. */
int ccr__kept_publish(struct ccr__phys *phys, int fd);
/* Keeps `fd`, too. Returns 0 or -errno. */
int ccr__kept_add(struct ccr__phys *phys, int fd);
/* Keeps `fd` instead of what was kept before. Returns 0 or -errno. */
int ccr__kept_replace(struct ccr__phys *phys, int fd);
/* The record is freed, or excluded: table.c calls these. */
void ccr__kept_forget(struct ccr__phys *phys);
void ccr__kept_exclude(struct ccr__phys *phys);
/* All memory was handed over: ends the keeper. */
void ccr__kept_end(void);

#endif
