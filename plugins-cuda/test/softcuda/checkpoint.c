// SPDX-License-Identifier: MIT
// Checkpoint of another process, call by call: states, addresses, bytes, and leftovers.
#include "test/softcuda/softcuda_test.h"

#include <sched.h>

#define BYTES (8 * MIB)
#define KEY   0x1122334455667788ull

static void worker(int from, int to)
{
	CUmemGenericAllocationHandle handle;
	CUdeviceptr plain, vmm, small, bare;
	unsigned char byte;
	char command;

	start_device(0);
	OK(cuMemAlloc_v2(&plain, BYTES));
	OK(cuMemAlloc_v2(&small, 100));
	vmm = vmm_alloc(BYTES, true, &handle);
	OK(cuMemAddressReserve(&bare, 64 * MIB, 0, 0, 0));
	fill(plain, BYTES, KEY, NULL);
	fill(vmm, BYTES, KEY + 1, NULL);
	OK(cuMemsetD8_v2(small, 0x42, 100));
	OK(cuCtxSynchronize());
	say(to, 'r');
	while ((command = hear(from))) {
		int fd = -1;

		switch (command) {
		case 'v':
			CHECK(checksum(plain, BYTES) == expected_checksum(BYTES, KEY));
			CHECK(checksum(vmm, BYTES) == expected_checksum(BYTES, KEY + 1));
			OK(cuMemcpyDtoH_v2(&byte, small + 99, 1));
			CHECK(byte == 0x42);
			say(to, 'v');
			break;
		case 'e': // must still be exportable, and the address space complete
			OK(cuMemExportToShareableHandle(
				&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
			close(fd);
			OK(cuMemUnmap(vmm, BYTES));
			OK(cuMemRelease(handle));
			OK(cuMemAddressFree(vmm, BYTES));
			OK(cuMemFree_v2(plain));
			OK(cuMemFree_v2(small));
			OK(cuMemAddressFree(bare, 64 * MIB));
			say(to, free_memory() == 64 * MIB ? 'e' : 'x');
			break;
		}
	}
}

// Number of lines in /proc/<pid>/maps and of open descriptors that refer to a device file.
static int device_traces(pid_t pid)
{
	char path[300], target[300], line[600];
	struct dirent *entry;
	int count = 0;
	FILE *maps;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	CHECK((maps = fopen(path, "re")));
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "/device") && strstr(line, ".mem");
	fclose(maps);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	CHECK((fds = opendir(path)));
	while ((entry = readdir(fds))) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		if (n < 0)
			continue;
		target[n] = 0;
		count += strstr(target, "/device") && strstr(target, ".mem");
	}
	closedir(fds);
	return count;
}

static void test_states(pid_t pid)
{
	CUcheckpointLockArgs bad = {.reserved0 = 1};
	CUcheckpointLockArgs lock = {.timeoutMs = 10000};

	CHECK(state_of(pid) == CU_PROCESS_STATE_RUNNING);
	RESULT_IS(cuCheckpointProcessLock(pid, &bad), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuCheckpointProcessCheckpoint(pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	RESULT_IS(cuCheckpointProcessRestore(pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	RESULT_IS(cuCheckpointProcessUnlock(pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	OK(cuCheckpointProcessLock(pid, &lock));
	CHECK(state_of(pid) == CU_PROCESS_STATE_LOCKED);
	RESULT_IS(cuCheckpointProcessLock(pid, &lock), CUDA_ERROR_ILLEGAL_STATE);
	RESULT_IS(cuCheckpointProcessRestore(pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	OK(cuCheckpointProcessUnlock(pid, NULL));
	CHECK(state_of(pid) == CU_PROCESS_STATE_RUNNING);
}

static void test_cycle(const struct child *child)
{
	pid_t pid = child->pid;

	CHECK(device_traces(pid) > 0);
	OK(cuCheckpointProcessLock(pid, NULL));
	OK(cuCheckpointProcessCheckpoint(pid, NULL));
	CHECK(state_of(pid) == CU_PROCESS_STATE_CHECKPOINTED);
	CHECK(device_traces(pid) == 0);
	RESULT_IS(cuCheckpointProcessUnlock(pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	RESULT_IS(cuCheckpointProcessCheckpoint(pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	RESULT_IS(cuCheckpointProcessLock(pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	OK(cuCheckpointProcessRestore(pid, NULL));
	CHECK(state_of(pid) == CU_PROCESS_STATE_LOCKED);
	OK(cuCheckpointProcessUnlock(pid, NULL));
	CHECK(ask(child, 'v') == 'v');
}

// A process that is pid 1 of its own pid namespace, checkpointed from outside.
static void test_namespace(void)
{
	struct child child;
	char path[60];
	int tid;

	if (unshare(CLONE_NEWPID)) {
		CHECK(errno == EPERM);
		return;
	}
	child = start_child(worker);
	CHECK(hear(child.from) == 'r');
	OK(cuCheckpointProcessGetRestoreThreadId(child.pid, &tid));
	snprintf(path, sizeof(path), "/proc/%d/task/%d", child.pid, tid);
	CHECK(!access(path, F_OK));
	test_cycle(&child);
	end_child(&child);
}

int main(void)
{
	struct child child;
	int tid = 0;

	own_devices(1, 64);
	child = start_child(worker);
	CHECK(hear(child.from) == 'r');
	OK(cuCheckpointProcessGetRestoreThreadId(child.pid, &tid));
	CHECK(tid > 0 && tid != child.pid);
	test_states(child.pid);
	CHECK(ask(&child, 'v') == 'v');
	test_cycle(&child);
	test_cycle(&child);
	CHECK(ask(&child, 'e') == 'e');
	end_child(&child);
	in_own_process(test_namespace);
	return 0;
}
