// SPDX-License-Identifier: MIT
// The service thread: does what the pool asks for, between the bell and the end of a connection.
#ifndef CCR_INTERCEPT_SERVICE_H
#define CCR_INTERCEPT_SERVICE_H

#include "common/protocol/protocol.h"
#include "intercept/records/records.h"

/* Starts the thread; once in a process. 0 or -errno. */
int ccr__service_start(void);

/* One conversation. */
struct ccr__talk {
	int socket;
	uint32_t operation;
	struct ccr_message message; /* the last one received, or the one being built */
};

/* Tells the pool what failed, with a result of CUDA where there is one. */
void ccr__talk_failed(struct ccr__talk *talk, int error, CUresult result, const char *what);

/* quiesce.c: closes the gate with nothing running on any device. 0; -ETIMEDOUT and others leave
 * the gate open and say why in `what` and `result`. */
int ccr__quiesce(uint64_t deadline_ns, CUresult *result, const char **what);

/* evict.c, attach.c: the rest of the conversation after EVICT, ATTACH. */
void ccr__evict(struct ccr__talk *talk, uint32_t timeout_ms);
void ccr__attach(struct ccr__talk *talk, enum ccr_attach_mode mode);

/* adopt.c */

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
