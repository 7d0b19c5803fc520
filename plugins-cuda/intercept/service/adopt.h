// SPDX-License-Identifier: MIT
/* Makes memory of another process our own. */
#ifndef CCR_INTERCEPT_ADOPT_H
#define CCR_INTERCEPT_ADOPT_H

#include "common/protocol/protocol.h"
#include "intercept/records/records.h"

/* Limits of one batch, so that an adoption needs little more device memory than the program. */
#define CCR__ADOPT_MAX	 CCR_HANDLES_A_MESSAGE
#define CCR__ADOPT_BYTES (512ull << 20)

/*
 * An allocation that gets its own memory, which is copied from `offset` of `from`.
 * `from` has `from_size` bytes, and the next entry may come from it too.
 */
struct ccr__adoption {
	struct ccr__phys *phys;
	CUmemGenericAllocationHandle from, own;
	uint64_t offset, from_size;
	CUdeviceptr from_at, own_at; /* addresses during the copy */
};

/* Several adoptions on one device. */
struct ccr__adopt_batch {
	struct ccr__adoption entries[CCR__ADOPT_MAX];
	size_t nr;
	uint64_t bytes, from_bytes; /* of our memory, and of the memory that it comes from */
};

/* Which side is mapped at the program's addresses. */
enum ccr__placed { CCR__FROM_PLACED, CCR__OWN_PLACED };

/* True when the batch has room for one more. An empty batch always has. */
bool ccr__adopt_fits(const struct ccr__adopt_batch *batch, const struct ccr__phys *phys);
void ccr__adopt_add(struct ccr__adopt_batch *batch, struct ccr__phys *phys,
		    CUmemGenericAllocationHandle from, uint64_t offset, uint64_t from_size);
/* Creates `own` of every entry. On failure, none remains. The caller still owns `from`. */
CUresult ccr__adopt_create(struct ccr__adopt_batch *batch);
/* Copies all entries of a batch that is not empty. */
CUresult ccr__adopt_copy(struct ccr__adopt_batch *batch, enum ccr__placed placed);
/* Releases our memory that is not mapped anywhere. */
void ccr__adopt_undo(struct ccr__adopt_batch *batch);
/* Returns how many bytes can be allocated on a device; 0 when the driver does not say. */
uint64_t ccr__adopt_room(CUdevice device);

#endif
