// SPDX-License-Identifier: MIT
/* Description: a dump that stops the program right after the driver has registered memory knows of
 * it, and one that the driver refused leaves nothing behind. */
#include "intercept/calls/calls.h"
#include "intercept/core/mailbox.h"
#include "test/check.h"

static struct ccr_mailbox mailbox;
struct ccr_mailbox *ccr__mailbox = &mailbox;
struct ccr__real ccr__real;

static uint64_t expected;
static CUresult answer;

static CUresult driver(void *p, size_t bytes, unsigned int flags)
{
	(void)p, (void)bytes, (void)flags;
	CHECK(mailbox.registrations == expected);
	return answer;
}

int main(void)
{
	char byte;

	ccr__real.cuMemHostRegister = ccr__real.cuMemHostRegister_v2 = driver;
	expected = 1;
	CHECK(ccr__wrap_cuMemHostRegister_v2(&byte, 1, 0) == CUDA_SUCCESS);
	expected = 2;
	CHECK(ccr__wrap_cuMemHostRegister(&byte, 1, 0) == CUDA_SUCCESS);
	expected = 3;
	answer = CUDA_ERROR_INVALID_VALUE;
	CHECK(ccr__wrap_cuMemHostRegister_v2(&byte, 1, 0) == CUDA_ERROR_INVALID_VALUE);
	CHECK(mailbox.registrations == 2);
	return failures ? 1 : 0;
}
