// SPDX-License-Identifier: MIT
/*
 * workload-ranks: processes that map each other's device memory and run an
 * all-reduce in a loop, as the ranks of a training job do. The result of each step
 * depends on every word of all buffers and on all steps before.
 */
#ifndef CCR_WORKLOADS_RANKS_H
#define CCR_WORKLOADS_RANKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/driver/cuda_abi.h"
#include "common/rank_kernel.h"

#define MAX_RANKS	16
#define MAX_LOADERS	16
#define RANKS_REPLY_MAX 1024
#define PATTERN_OF	77 /* first key of the pattern in the ranks' data */

/* All calls that the workload uses, each looked up by name. */
#define RANKS_CALLS(X)                    \
	X(cuInit)                         \
	X(cuDeviceGet)                    \
	X(cuDevicePrimaryCtxRetain)       \
	X(cuCtxSetCurrent)                \
	X(cuCtxSynchronize)               \
	X(cuMemAlloc_v2)                  \
	X(cuMemGetAllocationGranularity)  \
	X(cuMemAddressReserve)            \
	X(cuMemCreate)                    \
	X(cuMemRelease)                   \
	X(cuMemMap)                       \
	X(cuMemSetAccess)                 \
	X(cuMemExportToShareableHandle)   \
	X(cuMemImportFromShareableHandle) \
	X(cuIpcGetMemHandle)              \
	X(cuIpcOpenMemHandle_v2)          \
	X(cuMemHostRegister_v2)           \
	X(cuMemHostGetDevicePointer_v2)   \
	X(cuMemcpyHtoD_v2)                \
	X(cuMemcpyDtoH_v2)                \
	X(cuMemsetD8_v2)                  \
	X(cuMemsetD8Async)                \
	X(cuModuleLoadData)               \
	X(cuModuleGetFunction)            \
	X(cuLaunchKernel)                 \
	X(cuStreamCreate)                 \
	X(cuStreamSynchronize)

struct ranks_cuda {
#define MEMBER(name) typeof(name) *name;
	RANKS_CALLS(MEMBER)
#undef MEMBER
};

struct ranks_options {
	int ranks, devices, depth, loaders;
	bool ipc, host, tcp, lead;
	uint64_t words, alloc_bytes;
	const char *socket_path;
	void *host_memory; /* with `host`: of all ranks, one after the other */
};

/* A rank's sockets to the others, made before the forks; -1: none. */
struct mesh {
	int pairs[MAX_RANKS]; /* Unix sockets, for descriptors and handles */
	int star[MAX_RANKS];  /* between rank 0 and each of the others, for results */
};

struct rank {
	const struct ranks_options *options;
	int number;
	struct mesh mesh;
	struct ranks_cuda cuda;
	CUcontext context;
	CUstream stream;
	CUfunction reduce, fill, checksum;
	CUdeviceptr buffers[MAX_RANKS]; /* as this process maps them */
	CUdeviceptr table, acc, sum;	/* small allocations */
	CUdeviceptr alloc;		/* of --alloc; 0: none */
	int loaders[MAX_LOADERS];	/* sockets to the processes that load batches */
	uint64_t *slots;		/* where they write them, one each */
	CUdeviceptr batch;
	uint64_t nr_batches;  /* that were taken */
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	bool is_running, stop_wanted, has_failed;
	uint64_t step, acc_value;
	char failure[200];
};

extern const char ranks_ptx[], workload_ptx[];

/* Notes a failed step; the first one stays. Returns -1. */
int rank_fail(struct rank *r, const char *what, CUresult result);

#define RANK_TRY(r, call, ...)                                   \
	do {                                                     \
		const CUresult r_ = (r)->cuda.call(__VA_ARGS__); \
		if (r_ != CUDA_SUCCESS)                          \
			return rank_fail((r), #call, r_);        \
	} while (0)

/* Functions that can fail return 0, or -1 after rank_fail(). */

/* options.c; on a usage error, prints a message and exits with 2. */
void ranks_options_parse(struct ranks_options *out, int argc, char **argv);

/* mesh.c */
/* Makes the sockets of all ranks. 0, or -1 with errno. */
int mesh_make(struct mesh *all, const struct ranks_options *options);
void mesh_close(struct mesh *mesh);
/* Exactly `bytes`, with a descriptor if `fd` is not NULL (send: and not -1). 0, or -1 with errno.
 */
int mesh_send(int socket, const void *data, size_t bytes, int fd);
int mesh_receive(int socket, void *data, size_t bytes, int *fd);

/* share.c */
/* Before the ranks are forked: makes what they inherit. 0, or -1 with errno. */
int share_prepare(struct ranks_options *options);
/* Makes the own buffer and maps those of all other ranks. */
int share_buffers(struct rank *r);

/* rank.c */
int rank_start(struct rank *r);
/* Answers a request in this rank. */
void rank_answer(struct rank *r, const char *request, char *reply, size_t size);

/* Compares the checksum of device memory. `what` is for the message. */
int rank_check_sum(struct rank *r, CUdeviceptr ptr, uint64_t words, uint64_t expected,
		   const char *what);

/* loaders.c */
int loaders_start(struct rank *r);
/* Takes the next batch, and compares it on the device. */
int loaders_take(struct rank *r);

/* loop.c */
int loop_start(struct rank *r);
/* What *acc has to be after `steps` steps, and the checksum of a rank's data then. */
uint64_t loop_expected_acc(const struct ranks_options *options, uint64_t steps);
uint64_t loop_expected_sum(const struct ranks_options *options, int rank, uint64_t steps);

#endif
