// SPDX-License-Identifier: MIT
// The same table from cuda.h, and our prototypes against cuda.h's. Of our own headers only the
// lists of names are used here: the declarations would clash.
#ifdef HAVE_CUDA_H
// Declares the older versions of functions under their exported names too.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#if CUDA_VERSION >= 13000
#define USABLE
#endif
#endif

// Only the list of names: the enumerators themselves come from cuda.h.
#define CCR_CUDA_RESULTS_ONLY
#include "common/driver/cuda_error.h"
#include "test/softcuda/abi_list.h"

#ifdef USABLE
#include "softcuda/api.h"

const struct abi_row abi_cuda_rows[] = {ABI_ROWS};
const unsigned int abi_nr_cuda_rows = sizeof(abi_cuda_rows) / sizeof(abi_cuda_rows[0]);

// The driver's definitions agree with api.h (its compiler says so); here api.h with cuda.h.
#define X(name, params, args, kind, version)                                            \
	_Static_assert(__builtin_types_compatible_p(__typeof__(name), CUresult params), \
		       #name " is declared differently in cuda.h");
CCR_SOFT_CALLS(X)
#undef X
#else
const struct abi_row abi_cuda_rows[] = {{"", 0}};
const unsigned int abi_nr_cuda_rows = 0;
#endif
