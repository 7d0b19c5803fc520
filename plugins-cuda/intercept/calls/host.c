// SPDX-License-Identifier: MIT
/* Host memory that the program registers. What the driver itself allocates is shared memory, of
 * which nobody has to be told. */
#include "intercept/calls/calls.h"
#include "intercept/core/registration.h"

CUresult ccr__wrap_cuMemHostRegister(void *p, size_t bytes, unsigned int flags)
{
	return ccr__register_host(ccr__real.cuMemHostRegister, p, bytes, flags);
}

CUresult ccr__wrap_cuMemHostRegister_v2(void *p, size_t bytes, unsigned int flags)
{
	return ccr__register_host(ccr__real.cuMemHostRegister_v2, p, bytes, flags);
}
