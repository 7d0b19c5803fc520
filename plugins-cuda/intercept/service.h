// SPDX-License-Identifier: MIT
// The service thread: does what the pool asks for, between the bell and the end of a connection.
#ifndef CCR_INTERCEPT_SERVICE_H
#define CCR_INTERCEPT_SERVICE_H

#include "common/protocol.h"
#include "intercept/memory.h"

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

/* An allocation that is to get memory of its own, copied from `from`. */
struct ccr__adoption {
	struct ccr__phys *phys;
	CUmemGenericAllocationHandle from, own;
	CUdeviceptr window; /* both mapped side by side for the copy */
};

/* Creates the own memory and starts the copy; `from` stays the caller's. */
CUresult ccr__adopt_begin(struct ccr__adoption *adoption);
/* Waits for the copies of all of them and removes their windows. */
CUresult ccr__adopt_finish(struct ccr__adoption *adoptions, size_t nr);
/* Gives the own memory back after a failure. */
void ccr__adopt_undo(struct ccr__adoption *adoptions, size_t nr);
/* Free memory of a device; 0 when it cannot be asked. */
uint64_t ccr__free_bytes(CUdevice device);

#endif
