// SPDX-License-Identifier: MIT
/*
 * Large copies between pageable host memory and a device: done by threads with
 * pinned staging buffers instead of the driver's one thread. A copy that is ours
 * begins when all earlier work of its stream has ended and has ended when the call
 * returns, which is the strictest of what CUDA promises for pageable memory. No
 * call here ever fails: what cannot be done is left to the driver, as a whole.
 */
#ifndef CCR_INTERCEPT_COPY_H
#define CCR_INTERCEPT_COPY_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/protocol/protocol.h"
#include "intercept/core/core.h"

/* Copies of fewer bytes go straight to the driver; SIZE_MAX: all of them. */
extern size_t ccr__copy_min;

/* copy.c: CRIU_CUDA_MEMCPY_MIN_MB holds from now on; once, after cuInit. */
void ccr__copy_enable(void);
/* In a forked child: threads and buffers are the parent's. */
void ccr__copy_disable(void);

/* One copy. `device` and `host` are both `bytes` long. */
struct ccr__copy {
	CUdeviceptr device;
	char *host;
	size_t bytes;
	bool to_device;
};

/*
 * threads.c: copies with the threads of `ctx`, which is current and on device
 * `ordinal`. True when every byte is there; false: the driver has to copy.
 */
bool ccr__stage_copy(CUcontext ctx, CUdevice ordinal, const struct ccr__copy *copy);
/*
 * Ends the threads of `ctx` (NULL: of all contexts) and frees what they hold,
 * after the copy that is going on; they come back with the next large copy.
 */
void ccr__stage_release(CUcontext ctx);

/* range.c */

/* Nothing but anonymous memory that may be read (`is_written`: and written); false also when the
 * kernel cannot be asked. */
bool ccr__range_is_plain(const void *memory, size_t bytes, bool is_written);
/* Faults all pages in, for reading or writing. False: not all of them are there. */
bool ccr__range_populate(const void *memory, size_t bytes, bool is_written);
/* Whether anonymous memory needs no fault; of at most CCR__RANGE_MAX bytes. */
#define CCR__RANGE_MAX ((size_t)2 << 20)
bool ccr__range_is_resident(const void *memory, size_t bytes);

/* Where copying threads may run, and how politely. */
struct ccr__manners {
	bool has_cpus; /* false: the mask could not be asked, leave it */
	cpu_set_t cpus;
	int nice;
};

/* node.c */

struct ccr__node {
	int number; /* -1: one node only, or unknown */
	cpu_set_t cpus;
};
/* The memory node a device is attached to. */
struct ccr__node ccr__node_of(CUdevice ordinal);
/* A kernel list like "0-3,8"; false, and an empty set, when it is not one. */
bool ccr__node_parse(const char *list, cpu_set_t *cpus);
/* Asks the kernel to place the range there; what it answers does not matter. */
void ccr__node_prefer(const struct ccr__node *node, void *memory, size_t bytes);
/* The calling thread's, with only CPUs of the node where that leaves any. */
struct ccr__manners ccr__manners_of_caller(const struct ccr__node *node);
/* Gives them to the calling thread where they differ from what it `had`. */
void ccr__manners_adopt(const struct ccr__manners *wanted, struct ccr__manners *had);

#endif
