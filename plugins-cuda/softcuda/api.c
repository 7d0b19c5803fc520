// SPDX-License-Identifier: MIT
// The exported functions. Each one fails if SOFTCUDA_FAIL says so or if cuInit was not called in
// this process, waits at the gate, and then calls its implementation (SOFT(name)).
#include "softcuda/softcuda.h"
#include "softcuda/api.h"

enum call_id {
#define X(name, params, args, kind, version) ID_##name,
	CCR_SOFT_CALLS(X)
#undef X
		NR_CALLS,
};

// The implementations.
#define X(name, params, args, kind, version) CUresult SOFT(name) params;
CCR_SOFT_CALLS(X)
#undef X

static CUresult enter(unsigned int id, bool per_thread)
{
	CUresult result = ccr_inject(id);

	if (result != CUDA_SUCCESS)
		return result;
	if (!ccr_soft_initialized())
		return CUDA_ERROR_NOT_INITIALIZED;
	ccr_gate_enter();
	ccr_per_thread_default = per_thread;
	return CUDA_SUCCESS;
}

#define BODY_OPEN(name, args)                    \
	CUresult result = ccr_inject(ID_##name); \
	return result == CUDA_SUCCESS ? SOFT(name) args : result;

#define BODY_GATED(name, args, per_thread)              \
	CUresult result = enter(ID_##name, per_thread); \
	if (result != CUDA_SUCCESS)                     \
		return result;                          \
	result = SOFT(name) args;                       \
	ccr_gate_leave();                               \
	return result;

#define DEFINE_OPEN(name, params, args) \
	CUresult name params            \
	{                               \
		BODY_OPEN(name, args)   \
	}

#define DEFINE_GATED(name, params, args)      \
	CUresult name params                  \
	{                                     \
		BODY_GATED(name, args, false) \
	}

#define DEFINE_BOTH(name, suffix, params, args) \
	DEFINE_GATED(name, params, args)        \
	CUresult name##suffix params;           \
	CUresult name##suffix params            \
	{                                       \
		BODY_GATED(name, args, true)    \
	}
#define DEFINE_PTDS(name, params, args) DEFINE_BOTH(name, _ptds, params, args)
#define DEFINE_PTSZ(name, params, args) DEFINE_BOTH(name, _ptsz, params, args)

#pragma GCC visibility push(default)
#define X(name, params, args, kind, version) DEFINE_##kind(name, params, args)
CCR_SOFT_CALLS(X)
#undef X

// Refused calls. Their parameters do not matter, because the result is always the same.
#define U(name, version)                         \
	CUresult name(void);                     \
	CUresult name(void)                      \
	{                                        \
		return CUDA_ERROR_NOT_SUPPORTED; \
	}
CCR_SOFT_REFUSED(U)
#undef U
#pragma GCC visibility pop

#define SYMBOL_OPEN(name)  NULL
#define SYMBOL_GATED(name) NULL
#define SYMBOL_PTDS(name)  (void *)name##_ptds
#define SYMBOL_PTSZ(name)  (void *)name##_ptsz

const struct ccr_symbol ccr_symbols[] = {
#define X(name, params, args, kind, version) {#name, (void *)name, SYMBOL_##kind(name), version},
	CCR_SOFT_CALLS(X)
#undef X
// Refused calls come last, so that failures can be injected into each call below NR_CALLS.
#define U(name, version) {#name, (void *)name, NULL, version},
		CCR_SOFT_REFUSED(U)
#undef U
};

const size_t ccr_nr_symbols = sizeof(ccr_symbols) / sizeof(ccr_symbols[0]);
const size_t ccr_nr_calls = NR_CALLS;
