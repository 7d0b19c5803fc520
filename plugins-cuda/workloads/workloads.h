// SPDX-License-Identifier: MIT
/*
 * workload-pattern: holds device (and host) memory filled with a seeded
 * pattern and verifies it on request, on a GPU or on the software driver. It
 * writes no file, so that CRIU can restore it again and again.
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

/* Everything the workload asks of libcuda; one list makes the table and fills it. */
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

/* What one verifying thread uses alone: its streams, and a result word per buffer. */
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
	struct stream_set set; /* of the thread that answers requests */
	struct buffer *buffers;
	size_t nr_buffers;
	uint64_t bytes; /* device memory held */
	uint64_t *host, *pinned;
	uint32_t *spin_flags; /* atomic: the kernel reads and writes them too */
	bool spinning;
	char device_name[128];
	pthread_rwlock_t pattern; /* readers verify, the writer fills */
	uint64_t rounds;	  /* of all verifying threads, atomic */
	bool mismatch;		  /* one of them found wrong data, atomic */
	uint64_t longest_pause;	  /* between two beats, ns, atomic */
};

extern const char workload_ptx[];

/* A failed step: `what` names it, `result` is the driver's answer (0: the data is wrong). */
struct failure {
	char what[160];
	CUresult result;
};

/* options.c; exits with 2 and a message on wrong use. */
void options_parse(struct options *out, int argc, char **argv);

/* memory.c; each returns 0, or -1 with `failure` filled. */
int workload_start(struct workload *w, struct failure *failure);
int workload_fill(struct workload *w, uint64_t seed, struct failure *failure);
int workload_stream_set(struct workload *w, struct stream_set *set, int nr_streams,
			struct failure *failure);
/* Reads every byte on the device and compares; `*checksum` is one number for all of it. */
int workload_verify(struct workload *w, const struct stream_set *set, uint64_t *checksum,
		    struct failure *failure);
/* Allocates, fills from `host`, checks by a kernel and by a copy back, and frees. */
int workload_churn(struct workload *w, const struct stream_set *set, uint64_t key, uint64_t *host,
		   uint64_t words, struct failure *failure);
int workload_poke(struct workload *w, size_t buffer, uint64_t offset, struct failure *failure);
int workload_spin(struct workload *w, bool start, struct failure *failure);
/* Leaves no kernel running behind. */
void workload_stop(struct workload *w);

/* pattern.c: the checksum of a buffer of `nr_words` filled with `key`, in nr_words / block steps.
 */
uint64_t pattern_expected(uint64_t nr_words, uint64_t key);
uint64_t pattern_key(uint64_t seed, uint64_t buffer);

/* threads.c: threads that verify one buffer after another, for --threads and --continuous. */
int workload_start_threads(struct workload *w, struct failure *failure);
/*
 * With --heartbeat: the longest time in which no read of device memory came
 * back since the last call. Nanoseconds; the thread beats every millisecond.
 */
uint64_t workload_longest_pause(struct workload *w);

/* protocol.c: one request line to one reply line, without newline. False: quit. */
bool protocol_answer(struct workload *w, const char *request, char *reply, size_t size);

/* http.c: serves loopback HTTP, for ever. http_listen returns a socket, or -1 with errno. */
int http_listen(int port);
__attribute__((noreturn)) void http_serve(struct workload *w, int listener);

/* filter.c: 0 or -1 with errno; holds for every thread. */
int filter_install(void);

/* children.c: forks before CUDA is initialised; each child serves its end of a socket pair. */
int children_start(struct workload *w, int *sockets);
/* Passes a request on and waits for the answer. */
void children_ask(int socket, const char *request, char *reply, size_t size);

#endif
