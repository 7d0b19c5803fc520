// SPDX-License-Identifier: MIT
/* The wrappers, and what other folders call. */
#ifndef CCR_INTERCEPT_CALLS_H
#define CCR_INTERCEPT_CALLS_H

#include "intercept/core/real.h"

struct ccr__mapping;

/* One wrapper for each entry of wrap_list.h. */
#define DECLARE(name, base, since) __typeof__(name) ccr__wrap_##name;
CCR_WRAPPERS(DECLARE)
#undef DECLARE

/* alloc.c */

/* Reserves addresses and maps the memory there, or undoes that. The caller holds the lock. */
CUresult ccr__alloc_place(struct ccr__mapping *mapping, uint64_t alignment);
void ccr__alloc_unplace(const struct ccr__mapping *mapping);
/*
 * Frees memory that looks like cuMemAlloc memory when the device has done all work; during a
 * capture, later. The caller does not hold the lock, and has set `is_freeing`.
 */
CUresult ccr__alloc_release(struct ccr__mapping *mapping);
/* Unmaps and frees the cuMemAlloc memory of a destroyed context. */
void ccr__alloc_drop_context(CUcontext ctx);
/* Frees what the program freed while a stream was capturing. */
void ccr__alloc_flush(void);

/* graph_event.c: the answer when a graph would use an event that processes share. */
CUresult ccr__event_refuse_in_graph(void);

/* capture.c: the number of streams that are being captured; a futex. */
extern uint32_t ccr__nr_captures;
/* Forgets the captures of a destroyed context, and of the default streams of ended threads. */
void ccr__captures_drop_context(CUcontext ctx);
void ccr__captures_drop_ended_threads(void);
/* In a forked child: nothing is captured, and the lock is free. */
void ccr__captures_reset(void);

#endif
