// SPDX-License-Identifier: MIT
/*
 * libcuda_transfer.so: the engine for programs that cannot include C headers
 * (microbenchmarks that use koffi). In addition to the calls in transfer.h it
 * has these, which take plain values. Each returns 0, or -errno with a sentence
 * in `error`. Use a session from one thread at a time.
 */
#ifndef CCR_TRANSFER_LIBRARY_H
#define CCR_TRANSFER_LIBRARY_H

#include "transfer/transfer.h"

struct cuda_parallel_session;

/*
 * Opens the driver (NULL or "": the usual search), calls cuInit and starts an
 * engine on one device. If streams, chunk_mb, verify or io (enum ccr_io) is
 * negative, the CRIU_CUDA_* setting applies. Free with
 * cuda_parallel_session_close.
 */
CUDA_PARALLEL_API int cuda_parallel_session_open(struct cuda_parallel_session **out,
						 const char *driver, int device, int streams,
						 int chunk_mb, int verify, int io, char *error,
						 size_t error_size);
CUDA_PARALLEL_API void cuda_parallel_session_close(struct cuda_parallel_session *session);

/* Allocates with cuMemAlloc. Memory that is not freed lasts as long as the session's context. */
CUDA_PARALLEL_API int cuda_parallel_session_allocate(struct cuda_parallel_session *session,
						     uint64_t bytes, uint64_t *address, char *error,
						     size_t error_size);
CUDA_PARALLEL_API int cuda_parallel_session_free(struct cuda_parallel_session *session,
						 uint64_t address, char *error, size_t error_size);

/* Copies between host memory and the device through the staging buffers. `seconds` may be NULL. */
CUDA_PARALLEL_API int cuda_parallel_session_copy(struct cuda_parallel_session *session,
						 uint64_t address, void *host, uint64_t bytes,
						 int to_device, double *seconds, char *error,
						 size_t error_size);

/* Writes the GPU image of `pid` in `dir`; allocation i has sizes[i] bytes at addresses[i]. */
CUDA_PARALLEL_API int cuda_parallel_session_dump(struct cuda_parallel_session *session,
						 const char *dir, int pid,
						 const uint64_t *addresses, const uint64_t *sizes,
						 uint32_t nr, double *seconds, char *error,
						 size_t error_size);
CUDA_PARALLEL_API int cuda_parallel_session_load(struct cuda_parallel_session *session,
						 const char *dir, int pid,
						 const uint64_t *addresses, const uint64_t *sizes,
						 uint32_t nr, double *seconds, char *error,
						 size_t error_size);

/* Checks the sizes and all checksums of an image. Needs neither a session nor a driver. */
CUDA_PARALLEL_API int cuda_parallel_image_verify(const char *dir, int pid, uint32_t threads,
						 char *error, size_t error_size);

#endif
