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
	// With custom storage: as the two above, but the memory stays until COMPLETE.
	CCR_REQUEST_STORAGE_CHECKPOINT,
	CCR_REQUEST_STORAGE_RESTORE,
	CCR_REQUEST_COMPLETE,
	CCR_REQUEST_STATE, // replies the state, after it has looked whether a caller has ended
};

// Smaller than PIPE_BUF, so it is written and read atomically.
struct ccr_request {
	uint64_t id;
	uint32_t op;
	uint32_t timeout_ms; // custom storage: a bit per physical device with a context
	uint32_t nr_pairs, pad;
	CUcheckpointGpuPair pairs[CCR_MAX_DEVICES];
};

struct ccr_reply {
	uint64_t id;
	uint32_t result;
	uint32_t value; // custom storage: length of the table; STATE: CUprocessState
};

// A piece of the memory of a process whose Checkpoint or Restore is not complete. The table is at
// CCR_VA_STORAGE of that process.
struct ccr_storage_range {
	uint64_t offset, size; // in the device's file
	int32_t number;	       // of the physical device
	uint32_t pad;
};

// Creates the page, the pipes and the restore thread. cuInit calls it once per process.
CUresult ccr_control_start(void);
// False in a child forked after cuInit. Call it only after ccr_control_start has succeeded.
bool ccr_control_is_live(void);

// Target side (checkpoint.c). Called only in the restore thread; uses no malloc and no locks.
CUresult ccr_checkpoint_serve(struct ccr_control *control, const struct ccr_request *request,
			      uint32_t *value);

// Host memory in a Restore (host_memory.c), called in the same way.
CUresult ccr_pin_registered(void);
CUresult ccr_read_for_test(void);

// Custom storage on the target side (storage.c), called in the same way. `numbers` has a bit for
// each physical device on which the caller has a context.
CUresult ccr_storage_check_contexts(uint32_t numbers);
CUresult ccr_storage_begin_checkpoint(struct ccr_control *control,
				      const struct ccr_request *request, uint32_t *count);
// After memory was claimed.
CUresult ccr_storage_begin_restore(struct ccr_control *control, uint32_t *count);
CUresult ccr_storage_complete(struct ccr_control *control);
// Ends an operation whose caller is gone.
void ccr_storage_find_abandoned(struct ccr_control *control);
// The bytes of the process are in custom storage.
bool ccr_storage_is_elsewhere(void);

// Host memory of the driver (host_state.c), which each Checkpoint changes when it has done all
// else. The check fails if it is not what the last one has left. The last two are called as above.
CUresult ccr_host_state_create(void);
CUresult ccr_host_state_change(void);
CUresult ccr_host_state_check(void);

#endif
