// SPDX-License-Identifier: MIT
// Lock: what it waits for, what it blocks, and what happens if the process does not respond.
#include "test/elapsed.h"
#include "test/softcuda/softcuda_test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

static struct {
	atomic_ulong calls[2]; // made by each thread of the child
} * shared;

static void *busy(void *arg)
{
	atomic_ulong *count = arg;
	CUdeviceptr ptr;

	start_device(0);
	for (;;) {
		OK(cuMemAlloc_v2(&ptr, 3 * MIB));
		OK(cuMemsetD8_v2(ptr, 1, 3 * MIB));
		OK(cuMemFree_v2(ptr));
		atomic_fetch_add(count, 1);
	}
	return NULL;
}

static void busy_child(int from, int to)
{
	pthread_t thread;

	for (int i = 0; i < 2; i++)
		CHECK(!pthread_create(&thread, NULL, busy, &shared->calls[i]));
	say(to, 'r');
	hear(from);
}

static void wait_for_more(int thread)
{
	unsigned long before = atomic_load(&shared->calls[thread]);

	for (int i = 0; i < 2000 && atomic_load(&shared->calls[thread]) <= before + 1; i++)
		usleep(10000);
	CHECK(atomic_load(&shared->calls[thread]) > before + 1);
}

// After Lock has returned, no call in any thread may pass.
static void test_blocks_calls(void)
{
	struct child child = start_child(busy_child);
	unsigned long calls[2];

	CHECK(hear(child.from) == 'r');
	for (int round = 0; round < 3; round++) {
		wait_for_more(0);
		wait_for_more(1);
		OK(cuCheckpointProcessLock(child.pid, NULL));
		calls[0] = atomic_load(&shared->calls[0]);
		calls[1] = atomic_load(&shared->calls[1]);
		if (round) {
			OK(cuCheckpointProcessCheckpoint(child.pid, NULL));
			OK(cuCheckpointProcessRestore(child.pid, NULL));
		}
		usleep(100000);		    // enough time for a call to pass by mistake
		for (int i = 0; i < 2; i++) // the call in progress is counted after it returns
			CHECK(atomic_load(&shared->calls[i]) <= calls[i] + 1);
		OK(cuCheckpointProcessUnlock(child.pid, NULL));
	}
	wait_for_more(0);
	end_child(&child);
}

static void spinning_child(int from, int to)
{
	_Atomic uint32_t *flags;
	uint64_t ptr;
	void *params[] = {&ptr};
	char command;

	start_device(0);
	OK(cuMemHostAlloc((void **)&flags, 8, CU_MEMHOSTALLOC_DEVICEMAP));
	ptr = (uint64_t)(uintptr_t)flags;
	say(to, 'r');
	while ((command = hear(from))) {
		atomic_store(&flags[CCR_SPIN_STOP], command == 's');
		if (command == 'l') {
			OK(cuLaunchKernel(kernel("ccr_spin"), 1, 1, 1, 1, 1, 1, 0, NULL, params,
					  NULL));
			while (!atomic_load(&flags[CCR_SPIN_RUNNING]))
				sched_yield();
		}
		say(to, command);
	}
}

static void test_timeout(void)
{
	CUcheckpointLockArgs args = {.timeoutMs = 200};
	struct child child = start_child(spinning_child);
	struct timespec start;

	CHECK(hear(child.from) == 'r');
	CHECK(ask(&child, 'l') == 'l');
	clock_gettime(CLOCK_MONOTONIC, &start);
	RESULT_IS(cuCheckpointProcessLock(child.pid, &args), CUDA_ERROR_NOT_READY);
	CHECK(ms_since(&start) >= 190);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_RUNNING);
	CHECK(ask(&child, 's') == 's');
	args.timeoutMs = 20000;
	OK(cuCheckpointProcessLock(child.pid, &args));
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	// The gate was opened again after the timeout, so launching works.
	CHECK(ask(&child, 'l') == 'l');
	CHECK(ask(&child, 's') == 's');
	end_child(&child);
}

// A caller in another process, which writes the result of its Lock.
static struct child start_caller(pid_t target)
{
	struct child caller = {0};
	int up[2];

	CHECK(!pipe(up));
	caller.pid = fork();
	CHECK(caller.pid >= 0);
	if (!caller.pid) {
		CUresult result;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		result = cuCheckpointProcessLock(target, NULL);
		say(up[1], result == CUDA_SUCCESS		   ? 'y'
			   : result == CUDA_ERROR_OPERATING_SYSTEM ? 'g'
								   : 'n');
		_exit(0);
	}
	close(up[1]);
	caller.to = open("/dev/null", O_WRONLY | O_CLOEXEC);
	caller.from = up[0];
	return caller;
}

static bool has_answered(const struct child *caller, int timeout_ms)
{
	struct pollfd fd = {caller->from, POLLIN, 0};

	return poll(&fd, 1, timeout_ms) == 1;
}

static void for_each_thread(pid_t pid, void (*act)(pid_t tid))
{
	char path[40];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	CHECK((dir = opendir(path)));
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			act((pid_t)atoi(entry->d_name));
	closedir(dir);
}

static void freeze(pid_t tid)
{
	CHECK(!ptrace(PTRACE_SEIZE, tid, NULL, NULL));
	CHECK(!ptrace(PTRACE_INTERRUPT, tid, NULL, NULL));
	CHECK(waitpid(tid, NULL, __WALL) == tid);
}

static void thaw(pid_t tid)
{
	CHECK(!ptrace(PTRACE_DETACH, tid, NULL, NULL));
}

// The state and the restore thread of a stopped process can be queried. Other calls wait until the
// restore thread may run, which is sufficient.
static void test_frozen(void)
{
	struct child child = start_child(spinning_child), caller;
	int tid, again;

	CHECK(hear(child.from) == 'r');
	OK(cuCheckpointProcessGetRestoreThreadId(child.pid, &tid));
	for_each_thread(child.pid, freeze);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_RUNNING);
	OK(cuCheckpointProcessGetRestoreThreadId(child.pid, &again));
	CHECK(again == tid);
	caller = start_caller(child.pid);
	CHECK(!has_answered(&caller, 200));
	CHECK(!ptrace(PTRACE_CONT, tid, NULL, NULL));
	CHECK(hear(caller.from) == 'y');
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_LOCKED);
	OK(cuCheckpointProcessCheckpoint(child.pid, NULL));
	OK(cuCheckpointProcessRestore(child.pid, NULL));
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	CHECK(!ptrace(PTRACE_INTERRUPT, tid, NULL, NULL));
	CHECK(waitpid(tid, NULL, __WALL) == tid);
	for_each_thread(child.pid, thaw);
	CHECK(ask(&child, 'l') == 'l');
	waitpid(caller.pid, NULL, 0);
	end_child(&child);
}

// Two callers take turns, and both get an answer even if the process dies while they wait.
static void test_dying(void)
{
	struct child child = start_child(spinning_child), first, second;

	CHECK(hear(child.from) == 'r');
	CHECK(!kill(child.pid, SIGSTOP));
	CHECK(waitpid(child.pid, NULL, WUNTRACED) == child.pid);
	first = start_caller(child.pid);
	second = start_caller(child.pid);
	CHECK(!has_answered(&first, 100) && !has_answered(&second, 100));
	end_child(&child);
	CHECK(hear(first.from) == 'g' && hear(second.from) == 'g');
	waitpid(first.pid, NULL, 0);
	waitpid(second.pid, NULL, 0);
}

// The request of a killed caller is dropped before the process runs again.
static void test_abandoned(void)
{
	struct child child = start_child(spinning_child), caller;

	CHECK(hear(child.from) == 'r');
	CHECK(!kill(child.pid, SIGSTOP));
	CHECK(waitpid(child.pid, NULL, WUNTRACED) == child.pid);
	caller = start_caller(child.pid);
	CHECK(!has_answered(&caller, 100));
	end_child(&caller);
	caller = start_caller(child.pid);
	CHECK(!has_answered(&caller, 100));
	CHECK(!kill(child.pid, SIGCONT));
	// If the first request had been carried out, this Lock would fail.
	CHECK(hear(caller.from) == 'y');
	waitpid(caller.pid, NULL, 0);
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	end_child(&child);
}

int main(void)
{
	own_devices(1, 64);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	test_blocks_calls();
	test_timeout();
	test_frozen();
	test_dying();
	test_abandoned();
	return 0;
}
