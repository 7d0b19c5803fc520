// SPDX-License-Identifier: MIT
/*
 * The gate in front of the driver. A stub counts its call, checks whether the
 * gate is closed, calls its target and counts down again. A call that finds the
 * gate closed waits before it enters the driver. Calls made inside a call pass,
 * because they are part of it.
 *
 * Closing sets the flag and waits until the sum of the counters is zero. A stub
 * counts (with a full barrier) before it reads the flag, so a call that missed
 * the flag is in the sum.
 */
#ifndef CCR_INTERCEPT_GATE_H
#define CCR_INTERCEPT_GATE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intercept/gate/gate_layout.h"
#include "intercept/gate/hook_list.h"

enum {
#define H(name, kind) CCR_HOOK_##name,
	CCR_HOOKS(H)
#undef H
		CCR_NR_HOOKS,
	CCR_NR_SLOTS = CCR_NR_HOOKS + CCR_SPARE_SLOTS,
};

/* The data of one stub. The name of a spare slot is a copy that is never freed. */
struct ccr__slot {
	void *target; /* what the stub calls; NULL: not looked up yet */
	uint32_t kind;
	uint32_t pad;
	const char *name;
	void *real; /* the driver's function; equal to the target unless there is a wrapper */
};

static_assert(sizeof(struct ccr__slot) == 1 << CCR_SLOT_SHIFT, "slot size");
static_assert(offsetof(struct ccr__slot, target) == CCR_SLOT_TARGET, "slot layout");
static_assert(offsetof(struct ccr__slot, kind) == CCR_SLOT_KIND, "slot layout");

/* Initial-exec TLS: a stub must not call __tls_get_addr, which may allocate. */
struct ccr__gate_thread {
	uint32_t depth; /* 1 inside a counted call */
	uint32_t pad;
	uint32_t *count; /* the counter, which a few other threads may share */
};

static_assert(offsetof(struct ccr__gate_thread, count) == CCR_THREAD_COUNT, "thread layout");

extern struct ccr__slot ccr__slots[CCR_NR_SLOTS];
/* The code of all stubs, CCR_STUB_BYTES each, in the order of the slots. */
extern const char ccr__stubs[] __attribute__((visibility("hidden")));

static inline void *ccr__stub_at(size_t slot)
{
	return (void *)(ccr__stubs + slot * CCR_STUB_BYTES);
}

static inline bool ccr__is_stub(const void *address)
{
	return (uintptr_t)address - (uintptr_t)ccr__stubs <
	       (uintptr_t)CCR_NR_SLOTS * CCR_STUB_BYTES;
}

/*
 * Closes the gate and waits until no call is in flight, until `deadline_ns`
 * (CLOCK_MONOTONIC) at the latest. Returns 0, or -ETIMEDOUT: the gate stays closed,
 * and a second call waits on. Only one thread may call this at a time.
 */
int ccr__gate_close(uint64_t deadline_ns);
void ccr__gate_open(void);
/*
 * Lets that many calls through the closed gate, those that wait at it or come, until
 * `deadline_ns` at the latest. They may still be in flight afterwards: ccr__gate_close waits for
 * them.
 */
void ccr__gate_admit(uint32_t calls, uint64_t deadline_ns);
/* In a forked child: no call is in flight, and the gate is open. */
void ccr__gate_reset(void);

uint64_t ccr__now_ns(void);
/* Waits while *word is `value`. Returns 0 or -ETIMEDOUT. */
int ccr__futex_wait(uint32_t *word, uint32_t value, uint64_t deadline_ns);
void ccr__futex_wake(uint32_t *word);

/* Fills in the target of a slot. Defined by entry/slots.c, or by a test. */
void ccr__slot_resolve(struct ccr__slot *slot);
#endif
