// SPDX-License-Identifier: MIT
// Between a CUDA process and a process that checkpoints it: a page at a fixed address, which a
// process with ptrace rights can read, and two pipes, which the restore thread serves. We use pipes
// because CRIU restores them, and a page so that the state and the restore thread of a stopped
// process can be read.
#ifndef CCR_SOFTCUDA_CHECKPOINT_H
#define CCR_SOFTCUDA_CHECKPOINT_H

#include "softcuda/softcuda.h"

#define CCR_CONTROL_MAGIC   0x6c74636475737363ull
#define CCR_CONTROL_VERSION 2u
#define CCR_RESTORE_COMM    "softcuda-rst"

// Results for a pid without CUDA.
#define CCR_RESULT_NO_PROCESS	CUDA_ERROR_OPERATING_SYSTEM
#define CCR_RESULT_NOT_CUDA	CUDA_ERROR_NOT_INITIALIZED
#define CCR_RESULT_NO_PRIVILEGE CUDA_ERROR_OPERATING_SYSTEM

struct ccr_control {
	uint64_t magic; // written last; wiped in a forked child
	uint32_t version;
	_Atomic uint32_t state;	     // CUprocessState
	_Atomic uint32_t is_working; // a Checkpoint or Restore is in progress
	int32_t tid;		     // of the restore thread, in the process's pid namespace
	// The process keeps both ends of both pipes open; a caller opens them through /proc.
	int32_t request_fds[2], reply_fds[2];
};

enum ccr_request_op {
	CCR_REQUEST_LOCK = 1,
	CCR_REQUEST_CHECKPOINT,
	CCR_REQUEST_RESTORE,
	CCR_REQUEST_UNLOCK,
};

// Smaller than PIPE_BUF, so it is written and read atomically.
struct ccr_request {
	uint64_t id;
	uint32_t op, timeout_ms, nr_pairs, pad;
	CUcheckpointGpuPair pairs[CCR_MAX_DEVICES];
};

struct ccr_reply {
	uint64_t id;
	uint32_t result, pad;
};

// Creates the page, the pipes and the restore thread. cuInit calls it once per process.
CUresult ccr_control_start(void);
// False in a child forked after cuInit. Call it only after ccr_control_start has succeeded.
bool ccr_control_is_live(void);

// Target side (checkpoint.c). Called only in the restore thread; uses no malloc and no locks.
CUresult ccr_checkpoint_serve(struct ccr_control *control, const struct ccr_request *request);

#endif
