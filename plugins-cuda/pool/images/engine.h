// SPDX-License-Identifier: MIT
/*
 * Copies between memory that the pool holds and GPU images. Only engine.c,
 * save.c and load.c use the transfer engine. Every function may be called from
 * any thread.
 */
#ifndef CCR_POOL_ENGINE_H
#define CCR_POOL_ENGINE_H

#include "pool/device/device.h"
#include "transfer/transfer.h"

/* Options of one operation, as the plugin sent them. */
struct copy_options {
	uint32_t streams, chunk_mb, verify, io;
	bool is_driver; /* the driver hands the memory over, or takes it */
	/* save only */
	int earlier;	   /* directory of an earlier image, valid until the end of the save; -1 */
	uint32_t sync;	   /* enum ccr_sync */
	uint32_t protocol; /* of the interceptor */
	uint8_t checkpoint[CCR_CHECKPOINT_ID_SIZE];
	const struct ccr_image_import *imports; /* valid until the end of the save */
	uint32_t nr_imports;
	/* load only */
	enum ccr_attach_mode mode;
	bool is_arriving; /* stripes that are missing come later, see load_arrived */
	bool in_host;	  /* of memory that the driver takes: load it into host memory */
	struct ccr_device_map map;
};

/* Progress of a copy. The copying threads write it, any thread may read it. */
struct copy_progress {
	atomic_ullong done_bytes, total_bytes;
	atomic_uint streams,
		chunk_mb; /* that it uses; 0 before it begins, and if nothing is copied */
	atomic_bool is_complete, is_failed; /* one of them is set when the copy ends */
	/* Once it has ended: when each step ended, in milliseconds of the monotonic clock, and what
	 * the threads did. 0: there was no such step. */
	double started, device_ready, context_ready, engine_ready, allocated, ended;
	struct cuda_parallel_thread threads[CUDA_PARALLEL_MAX_THREADS];
	/* Of a save that has ended; see cuda_parallel_job. */
	uint64_t scan_zero_bytes;
	double scan_ms;
	char scan_error[160];
	bool has_earlier; /* an earlier image was named */
	uint64_t reused_bytes;
	char reuse_error[160];
};

/*
 * Begins to allocate the staging buffers of the engine, which needs no driver: for the time in
 * which the driver starts. Options that no engine accepts are refused by engine_get.
 */
void engine_prepare(const struct copy_options *options);
/*
 * The only engine of the process. The first call creates it for `devices` with
 * the streams and chunk size of `options`; later calls return the same one.
 * Returns 0, or -errno with `error`.
 */
int engine_get(struct cuda_parallel_engine **engine, const struct copy_options *options,
	       const int *devices, uint32_t nr_devices, char *error, size_t size);
/*
 * The configuration of a copy with these options: streams and chunk size up to those of the
 * engine. Stores both in `copied`.
 */
struct cuda_parallel_config engine_config(const struct cuda_parallel_engine *engine,
					  const struct copy_options *options,
					  struct copy_progress *copied);
/*
 * The number of its threads, which share all devices in use, and the host bytes of their staging
 * buffers; both 0 before the first engine_get.
 */
void engine_size(uint32_t *streams, uint64_t *staging_bytes);
/* The options in the pool's own settings. */
struct copy_options engine_own_options(void);

#endif
