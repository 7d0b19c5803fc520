// SPDX-License-Identifier: MIT
// SOFTCUDA_FAIL: the nth call of a function in this process fails, and no other call. "kill" kills
// one process there, with "hang" the call does not return in one process.
#include <poll.h>

#include "test/softcuda/softcuda_test.h"

static void target(int from, int to)
{
	start_device(0);
	say(to, 'r');
	hear(from);
}

/* The second allocation kills the first process that makes it, and succeeds in the next one. */
static void allocate(int from, int to)
{
	CUdeviceptr ptr;

	start_device(0);
	OK(cuMemAlloc_v2(&ptr, 64));
	say(to, 'r');
	OK(cuMemAlloc_v2(&ptr, 64));
	say(to, 's');
	hear(from);
}

static void check_kill(void)
{
	struct child child;
	int status;

	CHECK(!setenv("SOFTCUDA_FAIL", "cuMemAlloc:2:kill", 1));
	child = start_child(allocate);
	CHECK(hear(child.from) == 'r');
	CHECK(waitpid(child.pid, &status, 0) == child.pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	child = start_child(allocate);
	CHECK(hear(child.from) == 'r' && hear(child.from) == 's');
	end_child(&child);
}

static void check_hang(void)
{
	struct child child;

	CHECK(!setenv("SOFTCUDA_FAIL", "cuMemAlloc:2:hang", 1));
	child = start_child(allocate);
	CHECK(hear(child.from) == 'r');
	CHECK(!poll(&(struct pollfd){.fd = child.from, .events = POLLIN}, 1, 300));
	kill(child.pid, SIGKILL);
	CHECK(waitpid(child.pid, NULL, 0) == child.pid);
	child = start_child(allocate);
	CHECK(hear(child.from) == 'r' && hear(child.from) == 's');
	end_child(&child);
}

int main(void)
{
	struct child child;
	CUdeviceptr ptr;

	own_devices(1, 64);
	check_kill();
	check_hang();
	CHECK(!setenv("SOFTCUDA_FAIL",
		      "cuMemAlloc:2:2,cuMemAlloc_v2:3:999,cuCtxSynchronize:1:700,"
		      "cuCheckpointProcessCheckpoint:1:304,cuCheckpointProcessGetState:2:1",
		      1));
	child = start_child(target);
	CHECK(hear(child.from) == 'r');
	start_device(0);
	OK(cuMemAlloc_v2(&ptr, 64));
	OK(cuMemFree_v2(ptr));
	RESULT_IS(cuMemAlloc_v2(&ptr, 64), CUDA_ERROR_OUT_OF_MEMORY);
	RESULT_IS(cuMemAlloc_v2(&ptr, 64), CUDA_ERROR_UNKNOWN);
	OK(cuMemAlloc_v2(&ptr, 64));
	RESULT_IS(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	OK(cuCtxSynchronize());
	// Checkpoint calls fail in the caller and do not reach the other process.
	OK(cuCheckpointProcessLock(child.pid, NULL));
	RESULT_IS(cuCheckpointProcessCheckpoint(child.pid, NULL), CUDA_ERROR_OPERATING_SYSTEM);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_LOCKED);
	CUprocessState state;
	RESULT_IS(cuCheckpointProcessGetState(child.pid, &state), CUDA_ERROR_INVALID_VALUE);
	OK(cuCheckpointProcessCheckpoint(child.pid, NULL));
	OK(cuCheckpointProcessRestore(child.pid, NULL));
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	end_child(&child);
	return 0;
}
