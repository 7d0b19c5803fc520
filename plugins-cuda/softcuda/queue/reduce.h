// SPDX-License-Identifier: MIT
#ifndef CCR_SOFTCUDA_REDUCE_H
#define CCR_SOFTCUDA_REDUCE_H

#include "softcuda/softcuda.h"

// The kernel ccr_all_reduce; arguments and result as of ccr_kernel.run.
CUresult ccr_run_all_reduce(const uint64_t *params, int device, const struct ccr_dims *dims);

#endif
