// SPDX-License-Identifier: MIT
/*
 * Registered host memory. The driver pins it again when it restores the process, so it has to be
 * there by then: the mailbox tells that there may be some. Memory that the driver itself allocates
 * is shared memory, which needs no such note.
 */
#include "intercept/calls/calls.h"
#include "intercept/core/mailbox.h"

static CUresult note(CUresult result)
{
	if (result == CUDA_SUCCESS)
		__atomic_add_fetch(&ccr__mailbox->registrations, 1, __ATOMIC_RELAXED);
	return result;
}

CUresult ccr__wrap_cuMemHostRegister(void *p, size_t bytes, unsigned int flags)
{
	return note(ccr__real.cuMemHostRegister(p, bytes, flags));
}

CUresult ccr__wrap_cuMemHostRegister_v2(void *p, size_t bytes, unsigned int flags)
{
	return note(ccr__real.cuMemHostRegister_v2(p, bytes, flags));
}
