// SPDX-License-Identifier: MIT
/*
 * workload-pattern: fills device (and host) memory with a seeded pattern and
 * verifies it on request, on a GPU or on the software driver. It writes no
 * files, so that CRIU can restore it any number of times.
 */
#ifndef CCR_WORKLOADS_H
#define CCR_WORKLOADS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/driver/cuda_abi.h"
#include "common/kernels.h"

#define MAX_ALLOC_OPTIONS 16
#define MAX_STREAMS	  32
#define MAX_CHILDREN	  16
#define REPLY_MAX	  (256 * 1024)

/* All calls that the workload uses. This list declares the table of functions and fills it. */
#define WORKLOAD_CALLS(X)                \
	X(cuInit)                        \
	X(cuDeviceGet)                   \
	X(cuDeviceGetName)               \
	X(cuDevicePrimaryCtxRetain)      \
	X(cuCtxSetCurrent)               \
	X(cuCtxSynchronize)              \
	X(cuMemGetInfo_v2)               \
	X(cuMemAlloc_v2)                 \
	X(cuMemAddressReserve)           \
	X(cuMemCreate)                   \
	X(cuMemMap)                      \
	X(cuMemSetAccess)                \
	X(cuMemGetAllocationGranularity) \
	X(cuMemcpyHtoD_v2)               \
	X(cuMemcpyDtoH_v2)               \
	X(cuMemFree_v2)                  \
	X(cuMemcpyHtoDAsync_v2)          \
	X(cuMemcpyDtoHAsync_v2)          \
	X(cuMemsetD8Async)               \
	X(cuMemHostAlloc)                \
	X(cuMemHostGetDevicePointer_v2)  \
	X(cuModuleLoadData)              \
	X(cuModuleGetFunction)           \
	X(cuLaunchKernel)                \
	X(cuStreamCreate)                \
	X(cuStreamSynchronize)

struct cuda {
#define MEMBER(name) typeof(name) *name;
	WORKLOAD_CALLS(MEMBER)
#undef MEMBER
};

struct alloc_option {
	uint64_t bytes;
	unsigned int count;
};

struct options {
	struct alloc_option allocs[MAX_ALLOC_OPTIONS];
	int nr_allocs;
	bool vmm, continuous, heartbeat, no_cuda_parent, kinds, seccomp;
	int device, threads, churn, streams, children;
	uint64_t seed, host_bytes, pinned_bytes;
	const char *socket_path;
	int http_port; /* 0: none */
};

struct buffer {
	CUdeviceptr address;
	uint64_t bytes; /* a multiple of 8 */
};

/* Owned by one verifying thread: its streams, and a result word per buffer. */
struct stream_set {
	CUstream streams[MAX_STREAMS];
	int nr_streams;
	CUdeviceptr sums;
};

struct workload {
	struct options options;
	struct cuda cuda;
	CUcontext context;
	CUfunction fill, checksum, spin;
	struct stream_set set; /* for the thread that answers requests */
	struct buffer *buffers;
	size_t nr_buffers;
	uint64_t bytes; /* device memory in total */
	uint64_t *host, *pinned;
	uint32_t *spin_flags; /* atomic: the kernel reads and writes them too */
	bool spinning;
	char device_name[128];
	pthread_rwlock_t pattern; /* readers verify, the writer fills */
	uint64_t rounds;	  /* sum of all verifying threads, atomic */
	bool mismatch;		  /* a verifying thread found wrong data, atomic */
	uint64_t longest_pause;	  /* longest time between two beats, in ns, atomic */
};

extern const char workload_ptx[];

/* A failed step: `what` names it, `result` is the driver's result (0: the data is wrong). */
struct failure {
	char what[160];
	CUresult result;
};

/* options.c; on a usage error, prints a message and exits with 2. */
void options_parse(struct options *out, int argc, char **argv);

/* memory.c; each returns 0, or -1 with `failure`. */
int workload_start(struct workload *w, struct failure *failure);
int workload_fill(struct workload *w, uint64_t seed, struct failure *failure);
int workload_stream_set(struct workload *w, struct stream_set *set, int nr_streams,
			struct failure *failure);
/* Reads and compares all device memory. `*checksum` is one checksum of all of it. */
int workload_verify(struct workload *w, const struct stream_set *set, uint64_t *checksum,
		    struct failure *failure);
/* Allocates memory, fills it from `host`, checks it with a kernel and with a copy, and frees it. */
int workload_churn(struct workload *w, const struct stream_set *set, uint64_t key, uint64_t *host,
		   uint64_t words, struct failure *failure);
int workload_poke(struct workload *w, size_t buffer, uint64_t offset, struct failure *failure);
int workload_spin(struct workload *w, bool start, struct failure *failure);
/* Ends the running kernel, if any. */
void workload_stop(struct workload *w);

/*
 * pattern.c: the checksum of a buffer of `nr_words` words filled with `key`.
 * Takes a step per block.
 */
uint64_t pattern_expected(uint64_t nr_words, uint64_t key);
uint64_t pattern_key(uint64_t seed, uint64_t buffer);

/* threads.c: starts the threads of --threads and --continuous, which keep verifying buffers. */
int workload_start_threads(struct workload *w, struct failure *failure);
/*
 * With --heartbeat: the longest time in ns in which no read of device memory
 * completed, since the last call. The thread reads every millisecond.
 */
uint64_t workload_longest_pause(struct workload *w);

/* protocol.c: answers a request line, both without newline. False after `quit`. */
bool protocol_answer(struct workload *w, const char *request, char *reply, size_t size);

/* http.c: http_listen returns a loopback socket, or -1 with errno; http_serve never returns. */
int http_listen(int port);
__attribute__((noreturn)) void http_serve(struct workload *w, int listener);

/* filter.c: applies to all threads. Returns 0, or -1 with errno. */
int filter_install(void);

/* children.c: forks before cuInit; each child serves its end of a socket pair. */
int children_start(struct workload *w, int *sockets);
/* Sends a request to a child and waits for the answer. */
void children_ask(int socket, const char *request, char *reply, size_t size);

#endif
