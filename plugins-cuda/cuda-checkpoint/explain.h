// SPDX-License-Identifier: MIT
/* Why the driver refuses, in words. */
#ifndef CCR_CUDA_CHECKPOINT_EXPLAIN_H
#define CCR_CUDA_CHECKPOINT_EXPLAIN_H

#include "common/driver/cuda_error.h"

/*
 * Returns what a result of a call on `pid` means, with the remedy; looks at the
 * process, because the driver gives one result for several reasons. Never NULL.
 */
const char *explain(int pid, CUresult result);

#endif
