// SPDX-License-Identifier: MIT
/*
 * What all parts of the interceptor share: the settings, and whether it is
 * active. There is no constructor; the first driver symbol that a program uses
 * starts it.
 */
#ifndef CCR_INTERCEPT_CORE_H
#define CCR_INTERCEPT_CORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/settings/settings.h"
#include "intercept/core/real.h"

struct ccr__core {
	bool has_gate;		     /* false: every call passes through, uncounted */
	bool has_memory, has_copies; /* CRIU_CUDA_INTERCEPT; both need the gate */
	size_t copy_min;	     /* CRIU_CUDA_MEMCPY_MIN_MB, in bytes */
	unsigned int copy_threads;   /* maximum for one context */
	/* Set after cuInit in this process, and cleared in a forked child. */
	atomic_bool is_active;
	/* The program got a driver function without a stub, so evict must refuse. */
	atomic_bool gate_incomplete;
};

extern struct ccr__core ccr__core;

/* Reads the settings once. Any thread may call it. */
void ccr__core_init(void);

/* Writes a line to the program's stderr, whatever CRIU_CUDA_INTERCEPT_DEBUG says. */
void ccr__core_report(const char *text);

static inline bool ccr__is_active(void)
{
	return atomic_load_explicit(&ccr__core.is_active, memory_order_acquire);
}

#endif
