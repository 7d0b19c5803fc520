// SPDX-License-Identifier: MIT
/*
 * The transfer engine: copies between device memory and GPU images with many
 * threads. It does not care where device memory comes from: a range is a device,
 * an address that this process can access, and a length.
 *
 * Create an engine once and keep it: its threads, streams and registered staging
 * buffers serve any number of jobs. Several threads may run jobs at the same
 * time, which then share the engine's threads; an image may be used by one job at
 * a time. The engine's streams do not wait for other streams, so work that the
 * caller queued on the ranges must be complete.
 *
 * cuda_parallel_* is the API of libcuda_transfer.so: restore copies to the
 * device, dump copies from it. cuda_parallel_restore_init and _fini serve both;
 * existing callers use these names. transfer_* is internal (engine/).
 *
 * Functions return 0 or -errno. `error` then has a sentence that names the file
 * and the field, or the driver call and its result. Driver failures are -ENOMEM
 * for a full device, -ENODEV for a missing one, else -EIO.
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

/* Marks the symbols that libcuda_transfer.so exports. */
#define CUDA_PARALLEL_API __attribute__((visibility("default")))

#define CUDA_PARALLEL_MAX_THREADS 32
#define CUDA_PARALLEL_MAX_DEVICES 64

struct cuda_parallel_config {
	uint32_t streams;     /* number of threads, each with its own stream: 1-32 */
	uint32_t spin;	      /* bool: wait for the device by polling, which saves microseconds */
	uint64_t chunk_bytes; /* size of a staging buffer: 1-512 MiB, a multiple of 1 MiB */
	uint32_t verify;      /* bool: compare checksums on load */
	uint32_t io;	      /* enum ccr_io */
	/*
	 * Bytes per read or write, small enough for the CPU cache, so that the
	 * checksum need not fetch them again. A multiple of 4 KiB; 0 is the
	 * default of the back-end.
	 */
	uint32_t read_piece, write_piece;
	uint32_t scan; /* enum ccr_scan: whether a dump finds zeroes on the device */
};

struct cuda_parallel_range {
	int32_t device; /* ordinal */
	CUdeviceptr address;
	uint64_t bytes;
};

#define CUDA_PARALLEL_SLICES 48

/*
 * What a thread of a job did: how many milliseconds of each slice of its time it
 * worked on the host side (reads or writes files, computes checksums), and how many
 * it waited for the device. A slice becomes longer while the job lasts.
 */
struct cuda_parallel_thread {
	double start, end; /* milliseconds of the monotonic clock */
	double slice_ms;   /* length of a slice, the first begins at `start`; 0: it had no part */
	float host_ms[CUDA_PARALLEL_SLICES], device_ms[CUDA_PARALLEL_SLICES];
};

/*
 * A copy and its result. Zero it and set the options before the call; read the
 * results after it.
 */
struct cuda_parallel_job {
	/*
	 * Callbacks, called on the engine's threads, one at a time for a job.
	 * Other threads that have to call one for the same job wait meanwhile.
	 * Both may be NULL. ready: all bytes of a range are loaded or stored.
	 */
	void (*ready)(void *argument, uint32_t range);
	void (*progress)(void *argument, uint64_t done_bytes, uint64_t total_bytes);
	void *argument;
	atomic_int cancelled; /* set by cuda_parallel_cancel */
	/*
	 * Of a load, whether each stripe is there: one that is not is waited for, while the engine
	 * does other work. Once its descriptor is in the image, set it and call
	 * cuda_parallel_wake. NULL: all are there.
	 */
	atomic_bool *arrived;
	/* If not NULL, it applies instead of the engine's; of streams and chunk_bytes at most what
	 * the engine has. */
	const struct cuda_parallel_config *config;
	/*
	 * Of a dump: an earlier image, whose stripes the writer has linked. Chunks with the same
	 * bytes refer to them. `ready` may then be called before the bytes are stored. NULL: none.
	 */
	const struct ccr_image *earlier;
	/* If not NULL, CUDA_PARALLEL_MAX_THREADS of them, zeroed; valid when the job has ended. */
	struct cuda_parallel_thread *threads;

	uint64_t total_bytes, zero_bytes, stored_bytes;
	double seconds;
	/* Of a dump: what was found to be zero on the device, and so not copied; how long that
	 * took. */
	uint64_t scan_zero_bytes;
	double scan_seconds;
	char scan_error[160]; /* why a device could not; its zeroes were found after the copy */
	/* Of a dump: what the earlier image has, and so was not written. */
	uint64_t reused_bytes;
	char reuse_error[160]; /* what of the earlier image could not be used; all was saved */
	char io[24];	       /* name of the back-end that was used */
	char error[512];
};

struct cuda_parallel_engine;

/* Reads streams, chunk size, verify and back-end from CRIU_CUDA_* (environment, then cuda.conf). */
CUDA_PARALLEL_API int cuda_parallel_config_from_env(struct cuda_parallel_config *config,
						    char *error, size_t error_size);
CUDA_PARALLEL_API void cuda_parallel_config_from_settings(struct cuda_parallel_config *config,
							  const struct ccr_settings *settings);

/*
 * Host memory for the staging buffers of an engine with this configuration. Threads write to it
 * meanwhile, so that it has its pages: call this before cuInit, which takes longer. NULL if the
 * configuration is not valid or there is not enough memory. Give it to an engine, or free it with
 * cuda_parallel_staging_end.
 */
struct cuda_parallel_staging;
struct cuda_parallel_staging *
cuda_parallel_staging_begin(const struct cuda_parallel_config *config);
/* NULL is fine. */
void cuda_parallel_staging_end(struct cuda_parallel_staging *staging);

/*
 * Starts the threads, allocates and registers the staging buffers and retains
 * the primary contexts of `devices`. It needs at least one device, because
 * registering memory takes a context; other contexts are retained when a job
 * first uses them. Call cuInit before. `cuda` must outlive the engine. Free
 * with cuda_parallel_restore_fini.
 */
CUDA_PARALLEL_API int cuda_parallel_restore_init(struct cuda_parallel_engine **out,
						 const struct ccr_cuda *cuda,
						 const struct cuda_parallel_config *config,
						 const int *devices, uint32_t nr_devices,
						 char *error, size_t error_size);

/*
 * The same with staging buffers that were begun before. The engine takes them, also if this fails;
 * it frees what does not fit its configuration. NULL is fine.
 */
int cuda_parallel_engine_new(struct cuda_parallel_engine **out, const struct ccr_cuda *cuda,
			     const struct cuda_parallel_config *config,
			     struct cuda_parallel_staging *staging, const int *devices,
			     uint32_t nr_devices, char *error, size_t error_size);

/* The engine's configuration. An image has at least as many writers as its copy has streams, and at
 * most its chunk size. */
CUDA_PARALLEL_API const struct cuda_parallel_config *
cuda_parallel_engine_config(const struct cuda_parallel_engine *engine);

/* Host bytes of its staging buffers. */
uint64_t cuda_parallel_engine_staging(const struct cuda_parallel_engine *engine);

/* Ends the threads and frees the engine. No job may be running. NULL is fine. */
CUDA_PARALLEL_API void cuda_parallel_restore_fini(struct cuda_parallel_engine *engine);

/*
 * Loads an image: allocation i goes to ranges[i], which must have the same
 * length. The first allocations are ready first, but those of zeroes may be earlier. Returns when
 * no copy is in flight: 0, -ECANCELED after cuda_parallel_cancel, -EBADMSG for a wrong checksum, or
 * another -errno. After an error the content of the ranges is undefined.
 */
CUDA_PARALLEL_API int cuda_parallel_restore_memory(struct cuda_parallel_engine *engine,
						   const struct ccr_image *image,
						   const struct cuda_parallel_range *ranges,
						   uint32_t nr_ranges,
						   struct cuda_parallel_job *job);

/*
 * Stores ranges[i] as allocation i of `writer`, to which the caller has added
 * exactly these allocations. It must have at least as many writers as the copy
 * has streams, and a chunk size up to that of the copy. The caller commits or
 * aborts it.
 */
CUDA_PARALLEL_API int cuda_parallel_dump_memory(struct cuda_parallel_engine *engine,
						struct ccr_image_writer *writer,
						const struct cuda_parallel_range *ranges,
						uint32_t nr_ranges, struct cuda_parallel_job *job);

/* Copy between ordinary host memory and a range, through the staging buffers. */
CUDA_PARALLEL_API int cuda_parallel_restore_buffer(struct cuda_parallel_engine *engine,
						   const struct cuda_parallel_range *range,
						   const void *host, struct cuda_parallel_job *job);
CUDA_PARALLEL_API int cuda_parallel_dump_buffer(struct cuda_parallel_engine *engine,
						const struct cuda_parallel_range *range, void *host,
						struct cuda_parallel_job *job);

/* Makes the job return -ECANCELED once its copies in flight are complete. Call from any thread. */
CUDA_PARALLEL_API void cuda_parallel_cancel(struct cuda_parallel_job *job);

/* For a job that waits for stripes: one has arrived, or the job was canceled. */
void cuda_parallel_wake(struct cuda_parallel_engine *engine);

#endif
