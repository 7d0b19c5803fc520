// SPDX-License-Identifier: MIT
/*
 * What every part of the interceptor shares: settings, and whether memory is
 * looked after. There is no constructor; the first driver symbol a program uses
 * starts this.
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
	bool has_gate;		     /* false: everything passes through, nothing is counted */
	bool has_memory, has_copies; /* CRIU_CUDA_INTERCEPT; with the gate */
	size_t copy_min;	     /* CRIU_CUDA_MEMCPY_MIN_MB, in bytes */
	unsigned int copy_threads;   /* of one context */
	char run_dir[PATH_MAX];
	/* After cuInit in this very process; false again in a forked child. */
	atomic_bool is_active;
	/* A driver function was handed out without a stub: evict refuses. */
	atomic_bool gate_incomplete;
};

extern struct ccr__core ccr__core;

/* Reads the settings, once. Thread-safe. */
void ccr__core_init(void);

static inline bool ccr__is_active(void)
{
	return atomic_load_explicit(&ccr__core.is_active, memory_order_acquire);
}

#endif
