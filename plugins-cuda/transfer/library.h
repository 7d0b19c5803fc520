// SPDX-License-Identifier: MIT
/*
 * libcuda_transfer.so: the engine for programs that cannot include C headers
 * (microbenchmarks through koffi). Beside the calls of transfer.h it has these,
 * which take plain values only. Each returns 0 or -errno with a sentence in
 * `error`; a session belongs to one thread at a time.
 */
#ifndef CCR_TRANSFER_LIBRARY_H
#define CCR_TRANSFER_LIBRARY_H

#include "transfer/transfer.h"

struct cuda_parallel_session;

/*
 * Opens the driver (NULL or "": the usual search), calls cuInit and starts an
 * engine on one device. streams, chunk_mb, verify and io (enum ccr_io) below 0:
 * as CRIU_CUDA_* say.
 */
CUDA_PARALLEL_API int cuda_parallel_session_open(struct cuda_parallel_session **out,
						 const char *driver, int device, int streams,
						 int chunk_mb, int verify, int io, char *error,
						 size_t error_size);
CUDA_PARALLEL_API void cuda_parallel_session_close(struct cuda_parallel_session *session);

/* Device memory by cuMemAlloc; what is not freed goes with the session's context. */
CUDA_PARALLEL_API int cuda_parallel_session_allocate(struct cuda_parallel_session *session,
						     uint64_t bytes, uint64_t *address, char *error,
						     size_t error_size);
CUDA_PARALLEL_API int cuda_parallel_session_free(struct cuda_parallel_session *session,
						 uint64_t address, char *error, size_t error_size);

/* Between host memory and the device, through the staging buffers; `seconds` may be NULL. */
CUDA_PARALLEL_API int cuda_parallel_session_copy(struct cuda_parallel_session *session,
						 uint64_t address, void *host, uint64_t bytes,
						 int to_device, double *seconds, char *error,
						 size_t error_size);

/* An image `pid` in the directory `dir`, allocation i at addresses[i] with sizes[i] bytes. */
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

/* Checks sizes and every checksum of an image; needs no session and no driver. */
CUDA_PARALLEL_API int cuda_parallel_image_verify(const char *dir, int pid, uint32_t threads,
						 char *error, size_t error_size);

#endif
