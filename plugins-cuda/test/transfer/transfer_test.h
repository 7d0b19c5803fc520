// SPDX-License-Identifier: MIT
/*
 * The transfer engine on the software driver (CRIU_CUDA_DRIVER). Each case runs
 * in its own child process, which has a new driver and its own settings.
 */
#ifndef CCR_TRANSFER_TEST_H
#define CCR_TRANSFER_TEST_H

#include "test/image/image_test.h"
#include "transfer/transfer.h"

#define MAX_RANGES 4096

struct transfer_test {
	int dirfd; /* images directory of this case */
	struct ccr_driver driver;
	struct ccr_cuda cuda;
	struct cuda_parallel_config config;
	struct cuda_parallel_engine *engine;
	struct cuda_parallel_job job; /* of the last call */
	struct cuda_parallel_range ranges[MAX_RANGES];
	uint32_t nr;
};

/* Runs `test` in a child with these settings of the software driver. Exits if it fails. */
void transfer_case(const char *name, void (*test)(struct transfer_test *t), int devices,
		   const char *fail);

/*
 * Starts an engine: two streams and 1 MiB buffers unless t->config differs,
 * contexts on all devices.
 */
void transfer_start(struct transfer_test *t, int devices);
void transfer_stop(struct transfer_test *t);

/* Adds a range of `bytes` bytes, filled with image_expected of its index. */
void transfer_add(struct transfer_test *t, int device, uint64_t bytes);
void transfer_clear(struct transfer_test *t);
void transfer_check(struct transfer_test *t);

/* Writes the ranges to image `pid`. Returns 0, or -errno with t->job.error. */
int transfer_dump(struct transfer_test *t, int pid);
/* Begins the image of t->ranges, for tests that do something before the dump. */
struct ccr_image_writer *transfer_writer(struct transfer_test *t, int pid);
int transfer_load(struct transfer_test *t, int pid);

/* Dumps, clears, loads and compares. */
void transfer_round_trip(struct transfer_test *t, int pid);

#endif
