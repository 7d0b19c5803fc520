// SPDX-License-Identifier: MIT
/*
 * Registered host memory. The driver pins it again when it restores the process, so it has to be
 * there by then: the mailbox tells that there may be some.
 */
#ifndef CCR_INTERCEPT_REGISTRATION_H
#define CCR_INTERCEPT_REGISTRATION_H

#include "intercept/core/mailbox.h"
#include "intercept/core/real.h"

/* After a registration was undone (-1), or before one (1). */
static inline void ccr__registration_count(int by)
{
	__atomic_add_fetch(&ccr__mailbox->registrations, (uint64_t)by, __ATOMIC_SEQ_CST);
}

/* Registers memory with one of the driver's functions. It is counted first, because a dump may stop
 * the program as soon as the driver has it. */
static inline CUresult ccr__register_host(__typeof__(cuMemHostRegister) *real, void *p,
					  size_t bytes, unsigned int flags)
{
	CUresult result;

	ccr__registration_count(1);
	result = real(p, bytes, flags);
	if (result != CUDA_SUCCESS)
		ccr__registration_count(-1);
	return result;
}

#endif
