// SPDX-License-Identifier: MIT
/*
 * The transfer engine: copies between device memory and GPU images with many
 * threads. It knows nothing of where device memory comes from: a range is a
 * device, an address this process can reach, and a length.
 *
 * An engine is made once and kept; its threads, streams and registered staging
 * buffers serve any number of jobs. Jobs may be run from several threads at
 * once and then share the engine's threads; an image serves one job at a time.
 * The engine's streams wait for no other stream: nothing that the caller queued
 * may still be touching the ranges.
 *
 * cuda_parallel_*: what libcuda_transfer.so offers. restore: to the device; dump:
 * from it; cuda_parallel_restore_init and _fini serve both, under the names that
 * callers know. transfer_*: the inside of the engine (engine/).
 *
 * Functions return 0 or -errno; a sentence that names the file and the field,
 * or the driver's call and its result, is in `error`. Driver failures: -ENOMEM
 * for a full device, -ENODEV for an absent one, else -EIO.
 */
#ifndef CCR_TRANSFER_H
#define CCR_TRANSFER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/driver/driver_calls.h"
#include "common/settings/settings.h"
#include "image/image.h"

/* The only symbols that libcuda_transfer.so shows. */
#define CUDA_PARALLEL_API __attribute__((visibility("default")))

#define CUDA_PARALLEL_MAX_THREADS 32
#define CUDA_PARALLEL_MAX_DEVICES 64

struct cuda_parallel_config {
	uint32_t streams;     /* threads, each with its own stream; 1-32 */
	uint32_t spin;	      /* bool: wait for the device by polling; quicker by microseconds */
	uint64_t chunk_bytes; /* of a staging buffer; 1 MiB-512 MiB, a multiple of 1 MiB */
	uint32_t verify;      /* bool: compare checksums on load */
	uint32_t io;	      /* enum ccr_io */
	/*
	 * Bytes of one read or write, so that the checksum finds them in the cache;
	 * 0: what suits the back-end. Multiples of 4 KiB.
	 */
	uint32_t read_piece, write_piece;
};

struct cuda_parallel_range {
	int32_t device; /* ordinal */
	CUdeviceptr address;
	uint64_t bytes;
};

/*
 * One piece of work and what became of it. Zero it, set what is needed, read
 * the rest when the call has returned.
 */
struct cuda_parallel_job {
	/*
	 * Called on the engine's threads, one call at a time for a job; while they
	 * run, threads that have news of the same job wait. Both may be NULL.
	 * ready: every byte of a range is in place (load) or stored (dump).
	 */
	void (*ready)(void *argument, uint32_t range);
	void (*progress)(void *argument, uint64_t done_bytes, uint64_t total_bytes);
	void *argument;
	atomic_int cancelled; /* set by cuda_parallel_cancel */
	/* NULL: the engine's own; else verify, io and the pieces of this one count. */
	const struct cuda_parallel_config *config;

	uint64_t total_bytes, zero_bytes, stored_bytes;
	double seconds;
	char io[24]; /* back-end that was used */
	char error[512];
};

struct cuda_parallel_engine;

/* Streams, chunk size, verify and back-end of CRIU_CUDA_* (environment, then cuda.conf). */
CUDA_PARALLEL_API int cuda_parallel_config_from_env(struct cuda_parallel_config *config,
						    char *error, size_t error_size);
CUDA_PARALLEL_API void cuda_parallel_config_from_settings(struct cuda_parallel_config *config,
							  const struct ccr_settings *settings);

/*
 * Starts the threads, allocates and registers the staging buffers and retains
 * the primary contexts of `devices` (others are retained when a job first names
 * them; at least one is needed, because registering memory takes a context).
 * cuInit must have been called; `cuda` must outlive the engine.
 */
CUDA_PARALLEL_API int cuda_parallel_restore_init(struct cuda_parallel_engine **out,
						 const struct ccr_cuda *cuda,
						 const struct cuda_parallel_config *config,
						 const int *devices, uint32_t nr_devices,
						 char *error, size_t error_size);

/* What the engine was made with: images want no fewer writers and no larger chunks. */
CUDA_PARALLEL_API const struct cuda_parallel_config *
cuda_parallel_engine_config(const struct cuda_parallel_engine *engine);

/* Ends the threads and gives everything back; no job may be running. NULL is fine. */
CUDA_PARALLEL_API void cuda_parallel_restore_fini(struct cuda_parallel_engine *engine);

/*
 * Loads an image: allocation i goes to ranges[i], whose length must be the
 * allocation's. Early allocations are ready early. -ECANCELED after
 * cuda_parallel_cancel; -EBADMSG for a wrong checksum. After an error the
 * ranges hold anything. Returns when no copy is in flight any more.
 */
CUDA_PARALLEL_API int cuda_parallel_restore_memory(struct cuda_parallel_engine *engine,
						   const struct ccr_image *image,
						   const struct cuda_parallel_range *ranges,
						   uint32_t nr_ranges,
						   struct cuda_parallel_job *job);

/*
 * Stores ranges[i] as allocation i of `writer`, which has been given exactly
 * these allocations, at least as many writers as the engine has streams, and a
 * chunk size up to the engine's. Committing or aborting is left to the caller.
 */
CUDA_PARALLEL_API int cuda_parallel_dump_memory(struct cuda_parallel_engine *engine,
						struct ccr_image_writer *writer,
						const struct cuda_parallel_range *ranges,
						uint32_t nr_ranges, struct cuda_parallel_job *job);

/* Copies from ordinary host memory to one range, through the staging buffers; and back. */
CUDA_PARALLEL_API int cuda_parallel_restore_buffer(struct cuda_parallel_engine *engine,
						   const struct cuda_parallel_range *range,
						   const void *host, struct cuda_parallel_job *job);
CUDA_PARALLEL_API int cuda_parallel_dump_buffer(struct cuda_parallel_engine *engine,
						const struct cuda_parallel_range *range, void *host,
						struct cuda_parallel_job *job);

/* From any thread or callback: the job ends with -ECANCELED as soon as its copies in flight end. */
CUDA_PARALLEL_API void cuda_parallel_cancel(struct cuda_parallel_job *job);

#endif
