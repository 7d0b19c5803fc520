// SPDX-License-Identifier: MIT
// The service thread: serves the pool, one connection after another.
#ifndef CCR_INTERCEPT_SERVICE_H
#define CCR_INTERCEPT_SERVICE_H

#include "intercept/records/records.h"
#include "intercept/service/connection.h"

/* Starts the thread, once in a process. Returns 0 or -errno. */
int ccr__service_start(void);
/* In a forked child, which has no such thread: closes the connections that it has inherited. */
void ccr__service_reset(void);

/*
 * quiesce.c: close and open the gate. Only the service thread calls them, and its name says whether
 * the gate is closed. close returns what ccr__gate_close returns, with the gate closed.
 */
int ccr__service_close_gate(uint64_t deadline_ns);
void ccr__service_open_gate(void);

/* quiesce.c: closes the gate when nothing runs on any device. Returns 0, or -errno with the gate
 * open and the reason in `what` and `result`. */
int ccr__quiesce(uint64_t deadline_ns, CUresult *result, const char **what);
/* The same, but -EBUSY means that something still runs: the gate stays closed, unless a stream is
 * being captured, and a second call waits on. `calls` pass the gate before, if it is closed. */
int ccr__quiesce_begin(uint32_t calls, uint64_t deadline_ns, CUresult *result, const char **what);

/* group.c: handles the connection after QUIESCE. */
void ccr__quiesce_group(struct ccr__connection *connection);
/*
 * evict.c, attach.c: handle the connection after EVICT or ATTACH. `is_quiet`: the gate is closed,
 * and nothing runs; on failure it stays so. Returns true then, once the pool knows.
 */
bool ccr__evict(struct ccr__connection *connection, bool is_quiet);
void ccr__attach(struct ccr__connection *connection, uint32_t mode);
/* The same for OPEN, if the memory is placed. */
void ccr__attach_open(struct ccr__connection *connection);

#endif
