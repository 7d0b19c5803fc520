// SPDX-License-Identifier: MIT
/*
 * Both versions of cuGetProcAddress: we ask the driver first, and replace only
 * what it offers. A wrapper implements one ABI of a call. To find out whether the
 * driver's function has that ABI, we ask the driver for the version in which the
 * ABI appeared and compare the addresses. versions.c says which calls the program
 * gets only in versions that we know.
 */
#include "intercept/calls/calls.h"
#include "intercept/entry/entry.h"

#include <string.h>

static const struct {
	const char *base;
	int hook, since;
	bool is_per_thread;
} wrapped[] = {
#define W(symbol, base, since)                                      \
	{#base, CCR_HOOK_##symbol, since,                           \
	 sizeof(#symbol) > 5 && sizeof(#symbol) != sizeof(#base) && \
		 #symbol[sizeof(#symbol) - 5] == 'p'},
	CCR_WRAPPERS(W)
#undef W
};

static void *ask(const char *base, int version, cuuint64_t flags)
{
	void *function = NULL;
	CUresult result;

	if (ccr__real.cuGetProcAddress_v2)
		result = ccr__real.cuGetProcAddress_v2(base, &function, version, flags, NULL);
	else
		result = ccr__real.cuGetProcAddress(base, &function, version, flags);
	return result == CUDA_SUCCESS ? function : NULL;
}

/* Returns the hook whose wrapper fits this function, or -1. */
static int wrapper_for(const char *base, const void *function, cuuint64_t flags)
{
	const bool per_thread = flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
	int best = -1;

	for (size_t i = 0; i < sizeof(wrapped) / sizeof(wrapped[0]); i++) {
		if (strcmp(wrapped[i].base, base) || (wrapped[i].is_per_thread && !per_thread))
			continue;
		if (ask(base, wrapped[i].since, flags) != function)
			continue;
		/* In the list, per-thread variants and newer ABIs come later. */
		best = wrapped[i].hook;
	}
	return best;
}

/* Every CUDA version whose calls we know: hook_list.h has those of the last one. */
static bool is_known(const char *base, const void *function, cuuint64_t flags)
{
	static const struct {
		int major, last; /* minor versions go from 0 to last */
	} known[] = {{13, 5}, {12, 9}, {11, 8}, {10, 2}, {9, 2}, {8, 0},
		     {7, 5},  {6, 5},  {5, 5},	{4, 2},	 {3, 2}, {2, 3}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		for (int minor = known[i].last; minor >= 0; minor--)
			if (ask(base, known[i].major * 1000 + minor * 10, flags) == function)
				return true;
	return false;
}

/* Returns false for a version of the call that the program must not use. */
static bool substitute(const char *base, void **function, cuuint64_t flags)
{
	int hook;

	if (!*function || ccr__is_stub(*function) || !ccr__core.has_gate)
		return true;
	hook = wrapper_for(base, *function, flags);
	if (hook < 0 && ccr__is_guarded(base) && !is_known(base, *function, flags)) {
		ccr__report_unknown_version(base);
		*function = NULL;
		return false;
	}
	*function = hook < 0 ? ccr__stub_for_base(base, *function)
			     : ccr__stub_for(ccr__slots[hook].name, *function);
	return true;
}

CUresult ccr__wrap_cuGetProcAddress(const char *symbol, void **pfn, int version, cuuint64_t flags)
{
	const CUresult result = ccr__real.cuGetProcAddress(symbol, pfn, version, flags);

	if (result == CUDA_SUCCESS && pfn && !substitute(symbol, pfn, flags))
		return CUDA_ERROR_NOT_FOUND;
	return result;
}

CUresult ccr__wrap_cuGetProcAddress_v2(const char *symbol, void **pfn, int version,
				       cuuint64_t flags, CUdriverProcAddressQueryResult *status)
{
	const CUresult result = ccr__real.cuGetProcAddress_v2(symbol, pfn, version, flags, status);

	if (result == CUDA_SUCCESS && pfn && !substitute(symbol, pfn, flags)) {
		if (status)
			*status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
		return CUDA_ERROR_NOT_FOUND;
	}
	return result;
}
