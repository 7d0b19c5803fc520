// SPDX-License-Identifier: MIT
// Between a CUDA process and whoever checkpoints it: a page at a fixed address that anybody with
// ptrace rights can read, and two pipes that the restore thread of the process serves. Pipes,
// because CRIU restores them; read by address, so that state and restore thread can be asked of a
// stopped process.
#ifndef CCR_SOFTCUDA_CHECKPOINT_H
#define CCR_SOFTCUDA_CHECKPOINT_H

#include "softcuda/softcuda.h"

#define CCR_CONTROL_MAGIC   0x6c74636475737363ull
#define CCR_CONTROL_VERSION 1u
#define CCR_RESTORE_COMM    "softcuda-rst"

// Results for a pid without CUDA, in one place.
#define CCR_RESULT_NO_PROCESS	CUDA_ERROR_OPERATING_SYSTEM
#define CCR_RESULT_NOT_CUDA	CUDA_ERROR_NOT_INITIALIZED
#define CCR_RESULT_NO_PRIVILEGE CUDA_ERROR_OPERATING_SYSTEM

struct ccr_control {
	uint64_t magic; // written last, wiped in a forked child
	uint32_t version;
	_Atomic uint32_t state; // CUprocessState
	int32_t tid;		// of the restore thread, in the process's own pid namespace
	// The process keeps both ends of both pipes; a caller opens them through /proc.
	int32_t request_fds[2], reply_fds[2];
};

enum ccr_request_op {
	CCR_REQUEST_LOCK = 1,
	CCR_REQUEST_CHECKPOINT,
	CCR_REQUEST_RESTORE,
	CCR_REQUEST_UNLOCK,
};

// Below PIPE_BUF, so written and read whole.
struct ccr_request {
	uint64_t id;
	uint32_t op, timeout_ms, nr_pairs, pad;
	CUcheckpointGpuPair pairs[CCR_MAX_DEVICES];
};

struct ccr_reply {
	uint64_t id;
	uint32_t result, pad;
};

// Makes page, pipes and restore thread; once per process, by cuInit.
CUresult ccr_control_start(void);
// False in a child forked after cuInit. Only to be called once ccr_control_start has succeeded.
bool ccr_control_is_live(void);

// Target side (checkpoint.c), in the restore thread only: no malloc, no locks.
CUresult ccr_checkpoint_serve(struct ccr_control *control, const struct ccr_request *request);

#endif
