/* SPDX-License-Identifier: MIT */
/* What the look learns about one process. */
#ifndef CCR_LOOK_PROCESS_H
#define CCR_LOOK_PROCESS_H

#include "look/proc.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/machine/cgroup.h"
#include "common/protocol/mailbox.h"

/* Bits of `evidence`. */
enum {
	SEEN_LIBCUDA = 1 << 0,
	SEEN_INTERCEPTOR = 1 << 1,
	SEEN_SERVICE_THREAD = 1 << 2,
	SEEN_INTERCEPT_OFF = 1 << 3, /* CRIU_CUDA_INTERCEPT leaves memory alone */
	SEEN_GPU = 1 << 4,	     /* a descriptor of a GPU device file */
	SEEN_RDMA = 1 << 5,
	SEEN_GDRCOPY = 1 << 6,
	SEEN_NVIDIA_FS = 1 << 7,
	SEEN_IO_URING = 1 << 8,
	SEEN_LIBNCCL = 1 << 9,
	SEEN_NCCL_MEMORY = 1 << 10, /* a segment that ranks of one machine share */
	SEEN_NCCL_THREAD = 1 << 11, /* of a communicator, also of one with a single rank */
	SEEN_PROFILER = 1 << 12,    /* a profiler's injection library is mapped */
	SEEN_INJECTION = 1 << 13,   /* CUDA_INJECTION64_PATH is set */
	SEEN_CUPTI = 1 << 14,
	SEEN_NVPERF = 1 << 15, /* CUPTI loads it when it profiles */
	SEEN_IPC_SEGMENT =
		1 << 16, /* the driver's, of a process that exports, also in one that imports */
	SEEN_PERF_EVENT = 1 << 17,
	SEEN_POSIX_MQ = 1 << 18,
	SEEN_SYSV_SHM = 1 << 19,
	SEEN_GPU_MAPPING = 1 << 20, /* a mapping of a GPU device file */
	SEEN_NVML = 1 << 21,
	SEEN_GRAPHICS = 1 << 22, /* libraries that map the devices for OpenGL or Vulkan */
};

#define MAX_IPC_FILES 16

struct process {
	pid_t pid;
	char state;			       /* as in /proc/PID/status; 0: gone */
	pid_t stopped_tid, traced_tid, tracer; /* 0: none */
	unsigned int evidence;
	bool has_cuda;	       /* as the driver says */
	bool is_driver_silent; /* the driver does not tell */
	size_t nr_threads, nr_descriptors, nr_mappings;
	uint64_t address_space, anonymous;	     /* bytes */
	uint64_t max_address_space, max_descriptors; /* soft limits */
	uint64_t device_bytes;			     /* as NVML says */
	uint64_t mailbox_address;		     /* 0: none */
	struct ccr_mailbox mailbox;		     /* magic 0: none, or not one */
	uint64_t ipc_files[MAX_IPC_FILES]; /* inodes of torch's counters of shared tensors */
	size_t nr_ipc_files;
	char profiler[64]; /* the library */
	struct ccr_cgroups cgroups;
};

/* The inodes of the sockets of the tree that can be ones of TCP. */
struct sockets {
	struct list inodes; /* uint64_t */
};

/*
 * Each of these reads one kind of file, and adds what it sees to `process`. `root`
 * is a descriptor of the root directory. What cannot be read adds nothing.
 */
void ccr__look_maps(struct process *process, int root, struct text *text); /* maps.c */
void ccr__look_descriptors(struct process *process, int root,
			   struct sockets *sockets); /* descriptors.c */
/* threads.c; also adds the pids of its children to the list. */
void ccr__look_threads(struct process *process, int root, struct text *text, struct list *children);
void ccr__look_limits(struct process *process, int root, struct text *text);	  /* limits.c */
void ccr__look_environment(struct process *process, int root, struct text *text); /* limits.c */

/* mailbox.c; after the maps. */
void ccr__look_mailbox(struct process *process, int root);

#endif
