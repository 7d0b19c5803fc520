// SPDX-License-Identifier: MIT
/*
 * Registered host memory. The driver pins it again when it restores the process, so it has to be
 * there by then: the mailbox tells that there may be some. It is counted first, because a dump may
 * stop the program as soon as the driver has it. Memory that the driver itself allocates is shared
 * memory, which needs no such note.
 */
#include "intercept/calls/calls.h"
#include "intercept/core/mailbox.h"

static CUresult register_host(__typeof__(cuMemHostRegister) *real, void *p, size_t bytes,
			      unsigned int flags)
{
	CUresult result;

	ccr__mailbox_count_registration(1);
	result = real(p, bytes, flags);
	if (result != CUDA_SUCCESS)
		ccr__mailbox_count_registration(-1);
	return result;
}

CUresult ccr__wrap_cuMemHostRegister(void *p, size_t bytes, unsigned int flags)
{
	return register_host(ccr__real.cuMemHostRegister, p, bytes, flags);
}

CUresult ccr__wrap_cuMemHostRegister_v2(void *p, size_t bytes, unsigned int flags)
{
	return register_host(ccr__real.cuMemHostRegister_v2, p, bytes, flags);
}
