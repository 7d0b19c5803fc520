// SPDX-License-Identifier: MIT
// The same table from cuda.h, and a comparison of our prototypes with cuda.h's. Of our headers only
// the lists of names can be used here, because the declarations would conflict.
#include "test/softcuda/abi_list.h"

#ifdef HAVE_CUDA_H
// Also declares older versions of functions under their exported names.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#if CUDA_VERSION >= 13000
#define USABLE
#endif
/* Calls that are younger than this header, as later ones declare them. */
#if CUDA_VERSION < 13010
CUresult cuMulticastBindMem_v2(CUmemGenericAllocationHandle mc, CUdevice dev, size_t mc_offset,
			       CUmemGenericAllocationHandle handle, size_t offset, size_t size,
			       unsigned long long flags);
CUresult cuMulticastBindAddr_v2(CUmemGenericAllocationHandle mc, CUdevice dev, size_t mc_offset,
				CUdeviceptr dptr, size_t size, unsigned long long flags);
#endif
#if CUDA_VERSION < CCR_ABI_STORAGE_VERSION
typedef struct CUIcheckpointOperation_st *CUcheckpointOperationHandle;
CUresult cuCheckpointOperationComplete(CUcheckpointOperationHandle handle);
#endif
#endif

// Use only the list of names; the enumerators come from cuda.h.
#define CCR_CUDA_RESULTS_ONLY
#include "common/driver/cuda_error.h"

#ifdef USABLE
#include "softcuda/api.h"

const struct abi_row abi_cuda_rows[] = {ABI_ROWS};
const unsigned int abi_nr_cuda_rows = sizeof(abi_cuda_rows) / sizeof(abi_cuda_rows[0]);

// The compiler checks the driver's definitions against api.h; here it checks api.h against cuda.h.
#define X(name, params, args, kind, version)                                            \
	_Static_assert(__builtin_types_compatible_p(__typeof__(name), CUresult params), \
		       #name " is declared differently in cuda.h");
CCR_SOFT_CALLS(X)
#undef X

#if CUDA_VERSION >= CCR_ABI_STORAGE_VERSION
const struct abi_row abi_cuda_storage_rows[] = {ABI_STORAGE_ROWS};
const unsigned int abi_nr_cuda_storage_rows =
	sizeof(abi_cuda_storage_rows) / sizeof(abi_cuda_storage_rows[0]);
#else
const struct abi_row abi_cuda_storage_rows[] = {{"", 0}};
const unsigned int abi_nr_cuda_storage_rows = 0;
#endif
#else
const struct abi_row abi_cuda_storage_rows[] = {{"", 0}};
const unsigned int abi_nr_cuda_storage_rows = 0;
const struct abi_row abi_cuda_rows[] = {{"", 0}};
const unsigned int abi_nr_cuda_rows = 0;
#endif
