// SPDX-License-Identifier: MIT
// Prototypes of the implementations of the exported calls.
#ifndef CCR_SOFTCUDA_IMPL_H
#define CCR_SOFTCUDA_IMPL_H

#include "softcuda/softcuda.h"
#include "softcuda/api.h"

#define X(name, params, args, kind, version) CUresult SOFT(name) params;
CCR_SOFT_CALLS(X)
#undef X

#endif
