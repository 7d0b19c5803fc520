// SPDX-License-Identifier: MIT
/* Memory of another process becomes our own. */
#ifndef CCR_INTERCEPT_ADOPT_H
#define CCR_INTERCEPT_ADOPT_H

#include "common/protocol/protocol.h"
#include "intercept/records/records.h"

/* What one batch may be: little more device memory than the program's own is needed. */
#define CCR__ADOPT_MAX	 CCR_HANDLES_A_MESSAGE
#define CCR__ADOPT_BYTES (512ull << 20)

/*
 * An allocation that is to get memory of its own, copied from `offset` of
 * `from`, which neighbours may share and which has `from_size` bytes.
 */
struct ccr__adoption {
	struct ccr__phys *phys;
	CUmemGenericAllocationHandle from, own;
	uint64_t offset, from_size;
	CUdeviceptr from_at, own_at; /* during the copy */
};

/* Some of one device. */
struct ccr__adopt_batch {
	struct ccr__adoption entries[CCR__ADOPT_MAX];
	size_t nr;
	uint64_t bytes, from_bytes; /* of own memory, and of what it comes from */
};

/* Which side is mapped where the program expects the allocation. */
enum ccr__placed { CCR__FROM_PLACED, CCR__OWN_PLACED };

/* True when one more may be added; a single allocation always may. */
bool ccr__adopt_fits(const struct ccr__adopt_batch *batch, const struct ccr__phys *phys);
void ccr__adopt_add(struct ccr__adopt_batch *batch, struct ccr__phys *phys,
		    CUmemGenericAllocationHandle from, uint64_t offset, uint64_t from_size);
/* Makes `own` of every entry; on failure nothing of it remains. `from` stays the caller's. */
CUresult ccr__adopt_create(struct ccr__adopt_batch *batch);
/* Copies; of a batch that is not empty. */
CUresult ccr__adopt_copy(struct ccr__adopt_batch *batch, enum ccr__placed placed);
/* Gives own memory that found no place back. */
void ccr__adopt_undo(struct ccr__adopt_batch *batch);
/* Bytes that may be created on a device; 0 when it cannot be asked. */
uint64_t ccr__adopt_room(CUdevice device);

#endif
