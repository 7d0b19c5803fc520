// SPDX-License-Identifier: MIT
// A driver for tests that only has names: every call of hook_list.h answers with a number of its
// own, and there are more calls that the list does not know than the interceptor has stubs for.
#include "intercept/gate/gate.h"

#define EXPORT __attribute__((visibility("default")))
#define NAME(symbol, kind)                        \
	EXPORT int symbol(void);                  \
	EXPORT int symbol(void)                   \
	{                                         \
		return answer(CCR_HOOK_##symbol); \
	}

/* Calls that the interceptor makes itself succeed and change nothing: no device, no context. */
static int answer(int hook)
{
	switch (hook) {
	case CCR_HOOK_cuInit:
	case CCR_HOOK_cuDeviceGetCount:
	case CCR_HOOK_cuStreamBeginCapture:
	case CCR_HOOK_cuStreamBeginCapture_ptsz:
	case CCR_HOOK_cuStreamBeginCapture_v2:
	case CCR_HOOK_cuStreamBeginCapture_v2_ptsz:
	case CCR_HOOK_cuStreamBeginCaptureToGraph:
	case CCR_HOOK_cuStreamBeginCaptureToGraph_ptsz:
	case CCR_HOOK_cuStreamEndCapture:
	case CCR_HOOK_cuStreamEndCapture_ptsz:
	case CCR_HOOK_cuThreadExchangeStreamCaptureMode:
		return 0;
	}
	return 1000 + hook;
}

CCR_HOOKS(NAME)

/* cuUnlisted0 and on: addresses are all that is asked of them. */
__asm__(".text\n"
	".p2align 4\n"
	"unlisted:\n"
	".skip 2100 * 16\n"
	".altmacro\n"
	".macro UNLISTED n\n"
	".globl cuUnlisted\\n\n"
	".type cuUnlisted\\n, %function\n"
	".set cuUnlisted\\n, unlisted + \\n * 16\n"
	".endm\n"
	".set n, 0\n"
	".rept 2100\n"
	"UNLISTED %n\n"
	".set n, n + 1\n"
	".endr\n");
