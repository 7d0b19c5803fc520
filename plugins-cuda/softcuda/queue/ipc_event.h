// SPDX-License-Identifier: MIT
// Events that processes share. The counters are in a page of a memory file: a record takes a number
// when it is submitted, and is done when a record with that number or a later one is.
#ifndef CCR_SOFTCUDA_IPC_EVENT_H
#define CCR_SOFTCUDA_IPC_EVENT_H

#include "softcuda/softcuda.h"

struct ccr_ipc_event;

// A new one, or NULL.
struct ccr_ipc_event *ccr_ipc_event_new(void);
void ccr_ipc_event_free(struct ccr_ipc_event *event);
// The number of a record that begins, and of the latest one (0: never recorded).
uint64_t ccr_ipc_event_begin(struct ccr_ipc_event *event);
uint64_t ccr_ipc_event_latest(const struct ccr_ipc_event *event);
void ccr_ipc_event_end(struct ccr_ipc_event *event, uint64_t number);
bool ccr_ipc_event_is_done(const struct ccr_ipc_event *event, uint64_t number);
void ccr_ipc_event_wait(const struct ccr_ipc_event *event, uint64_t number);

#endif
