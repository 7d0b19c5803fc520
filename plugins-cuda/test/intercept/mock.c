// SPDX-License-Identifier: MIT
// A mock driver: every call in hook_list.h returns its own number. It also has more calls that are
// not in the list than the interceptor has stubs for.
#include "intercept/gate/gate.h"

#define EXPORT __attribute__((visibility("default")))
#define NAME(symbol, kind)                        \
	EXPORT int symbol(void);                  \
	EXPORT int symbol(void)                   \
	{                                         \
		return answer(CCR_HOOK_##symbol); \
	}

/* Calls that the interceptor itself makes succeed without effect: no device, no context. */
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

/* cuUnlisted0 and more, of which only the addresses matter. */
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
