// SPDX-License-Identifier: MIT
/*
 * Large copies between pageable host memory and a device: done by threads with
 * pinned staging buffers instead of the driver's one thread. A copy that is ours
 * begins when all earlier work of its stream has ended and has ended when the call
 * returns, which is the strictest of what CUDA promises for pageable memory. No
 * call here ever fails: what cannot be done is left to the driver, as a whole.
 */
#ifndef CCR_INTERCEPT_THREADS_H
#define CCR_INTERCEPT_THREADS_H

#include "intercept/copy/copy.h"

/* Copies of fewer bytes go straight to the driver; SIZE_MAX: all of them. */
extern size_t ccr__copy_min;

/* CRIU_CUDA_MEMCPY_MIN_MB holds from now on; once, after cuInit. */
void ccr__copy_enable(void);
/* In a forked child: threads and buffers are the parent's. */
void ccr__copy_disable(void);

/*
 * Copies with the threads of `ctx`, which is current and on device
 * `ordinal`. True when every byte is there; false: the driver has to copy.
 */
bool ccr__copy_by_threads(CUcontext ctx, CUdevice ordinal, const struct ccr__copy *copy);
/*
 * Ends the threads of `ctx` (NULL: of all contexts) and frees what they hold,
 * after the copy that is going on; they come back with the next large copy.
 */
void ccr__copy_threads_end(CUcontext ctx);

#endif
