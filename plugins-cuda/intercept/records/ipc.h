// SPDX-License-Identifier: MIT
/*
 * Legacy CUDA IPC of memory that we manage. A handle has a random token; the process that
 * made it publishes a descriptor of the memory under that token in its keeper, and does so
 * again when the memory has come back. The caller holds the lock of records.h, unless a
 * function says otherwise.
 */
#ifndef CCR_INTERCEPT_IPC_H
#define CCR_INTERCEPT_IPC_H

#include "intercept/keeper/others.h"
#include "intercept/records/records.h"

/* Of an allocation that has a handle, or that was opened by one. */
struct ccr__ipc {
	struct ccr__token token;
	uint32_t opens; /* how often the program has opened it and not closed it yet */
};

/* What a CUipcMemHandle of ours consists of. */
struct ccr__ipc_handle {
	uint64_t magic;
	int32_t pid; /* of the process that made it */
	uint32_t pad;
	struct ccr__token token;
	uint64_t size, requested; /* of the allocation */
};

/* Makes the handle of an allocation. */
CUresult ccr__ipc_handle_of(struct ccr__phys *phys, CUipcMemHandle *handle);
/* Without the lock. False: it is a handle of the driver. */
bool ccr__ipc_is_ours(const CUipcMemHandle *handle, struct ccr__ipc_handle *out);
/* The mapping that a context has of such a handle, or NULL. */
struct ccr__mapping *ccr__ipc_opened(const struct ccr__token *token, CUcontext ctx);
/* Notes that an import came from a handle. Returns false when out of memory. */
bool ccr__ipc_note(struct ccr__phys *phys, const struct ccr__token *token);
/* A descriptor of the allocation is kept under this number from now on. */
void ccr__ipc_kept(const struct ccr__phys *phys, uint64_t number);
/* After memory has come back: publishes what is not published yet. */
void ccr__ipc_publish_all(void);

#endif
