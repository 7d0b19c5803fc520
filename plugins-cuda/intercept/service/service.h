// SPDX-License-Identifier: MIT
// The service thread: does what the pool asks for, between the signal and the end of a connection.
#ifndef CCR_INTERCEPT_SERVICE_H
#define CCR_INTERCEPT_SERVICE_H

#include "intercept/records/records.h"
#include "intercept/service/connection.h"

/* Starts the thread; once in a process. 0 or -errno. */
int ccr__service_start(void);

/* quiesce.c: closes the gate with nothing running on any device. 0; -ETIMEDOUT and others leave
 * the gate open and say why in `what` and `result`. */
int ccr__quiesce(uint64_t deadline_ns, CUresult *result, const char **what);

/* evict.c, attach.c: the rest of the conversation after EVICT, ATTACH. */
void ccr__evict(struct ccr__connection *connection, uint32_t timeout_ms);
void ccr__attach(struct ccr__connection *connection, enum ccr_attach_mode mode);

#endif
