// SPDX-License-Identifier: MIT
/*
 * Large copies between pageable host memory and a device, made by threads with
 * pinned staging buffers instead of the driver's single thread. Such a copy
 * begins when all earlier work of its stream has ended, and has ended when the
 * call returns: that is the strictest order that CUDA promises for pageable
 * memory. No call here fails: what cannot be copied is left to the driver, as a
 * whole.
 */
#ifndef CCR_INTERCEPT_THREADS_H
#define CCR_INTERCEPT_THREADS_H

#include "intercept/copy/copy.h"

/* Copies of fewer bytes go straight to the driver; SIZE_MAX: all copies do. */
extern size_t ccr__copy_min;

/* Makes CRIU_CUDA_MEMCPY_MIN_MB take effect; called once, after cuInit. */
void ccr__copy_enable(void);
/* In a forked child: turns copying off, because the threads and buffers are the parent's. */
void ccr__copy_disable(void);

/*
 * Copies with the threads of `ctx`, which is the current context and belongs to
 * device `ordinal`. Returns true when every byte was copied; false: the driver
 * has to make the copy.
 */
bool ccr__copy_by_threads(CUcontext ctx, CUdevice ordinal, const struct ccr__copy *copy);
/*
 * Ends the threads of `ctx` (NULL: of all contexts) after the copy in progress,
 * and frees what they have. The next large copy starts them again.
 */
void ccr__copy_threads_end(CUcontext ctx);

#endif
