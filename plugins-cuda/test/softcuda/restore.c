// SPDX-License-Identifier: MIT
// Difficult restores: memory of other processes, a full device, another device.
#include "test/softcuda/softcuda_test.h"

#include <sys/syscall.h>

#define BYTES (16 * MIB)

static int fd_to_import; // inherited by the importer before its cuInit

static void holder(int from, int to)
{
	CUdeviceptr ptr;
	char command;

	start_device(0);
	OK(cuMemAlloc_v2(&ptr, BYTES));
	fill(ptr, BYTES, 5, NULL);
	OK(cuCtxSynchronize());
	say(to, 'r');
	while ((command = hear(from)) == 'v') {
		CUuuid uuid;

		CHECK(checksum(ptr, BYTES) == expected_checksum(BYTES, 5));
		OK(cuDeviceGetUuid(&uuid, 0));
		say(to, (char)('0' + uuid.bytes[15]));
	}
}

static void test_full_device(void)
{
	struct child child = start_child(holder);
	CUdeviceptr ptr;

	CHECK(hear(child.from) == 'r');
	OK(cuCheckpointProcessLock(child.pid, NULL));
	OK(cuCheckpointProcessCheckpoint(child.pid, NULL));
	start_device(0);
	CHECK(free_memory() == 64 * MIB);
	OK(cuMemAlloc_v2(&ptr, 56 * MIB));
	RESULT_IS(cuCheckpointProcessRestore(child.pid, NULL), CUDA_ERROR_OUT_OF_MEMORY);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_CHECKPOINTED);
	CHECK(free_memory() == 8 * MIB);
	OK(cuMemFree_v2(ptr));
	OK(cuCheckpointProcessRestore(child.pid, NULL));
	CHECK(free_memory() == 64 * MIB - BYTES);
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	CHECK(ask(&child, 'v') == '0');
	end_child(&child);
	CHECK(free_memory() == 64 * MIB);
}

static void test_other_device(void)
{
	struct child child = start_child(holder);
	CUcheckpointGpuPair pairs[2];
	CUcheckpointRestoreArgs args = {.gpuPairs = pairs, .gpuPairsCount = 1};
	size_t free_bytes, total;
	CUcontext second;

	CHECK(hear(child.from) == 'r');
	start_device(0);
	OK(cuDeviceGetUuid(&pairs[0].oldUuid, 1));
	OK(cuDeviceGetUuid(&pairs[0].newUuid, 1));
	OK(cuCheckpointProcessLock(child.pid, NULL));
	OK(cuCheckpointProcessCheckpoint(child.pid, NULL));
	// First the list lacks the device that was checkpointed, then it has a device that does not
	// exist.
	RESULT_IS(cuCheckpointProcessRestore(child.pid, &args), CUDA_ERROR_INVALID_VALUE);
	OK(cuDeviceGetUuid(&pairs[0].oldUuid, 0));
	pairs[0].newUuid.bytes[15] = 9;
	RESULT_IS(cuCheckpointProcessRestore(child.pid, &args), CUDA_ERROR_INVALID_VALUE);
	args.gpuPairsCount = 17;
	RESULT_IS(cuCheckpointProcessRestore(child.pid, &args), CUDA_ERROR_INVALID_VALUE);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_CHECKPOINTED);
	args.gpuPairsCount = 1;
	OK(cuDeviceGetUuid(&pairs[0].newUuid, 1));
	OK(cuCheckpointProcessRestore(child.pid, &args));
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	CHECK(ask(&child, 'v') == '1');
	OK(cuDevicePrimaryCtxRetain(&second, 1));
	OK(cuCtxPushCurrent_v2(second));
	OK(cuMemGetInfo_v2(&free_bytes, &total));
	CHECK(free_bytes == total - BYTES);
	OK(cuCtxPopCurrent_v2(NULL));
	CHECK(free_memory() == 64 * MIB);
	// Move it back with another cycle.
	OK(cuCheckpointProcessLock(child.pid, NULL));
	OK(cuCheckpointProcessCheckpoint(child.pid, NULL));
	OK(cuDeviceGetUuid(&pairs[0].oldUuid, 1));
	OK(cuDeviceGetUuid(&pairs[0].newUuid, 0));
	OK(cuCheckpointProcessRestore(child.pid, &args));
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	CHECK(ask(&child, 'v') == '0');
	end_child(&child);
}

static void importer(int from, int to)
{
	CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0},
				  CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
	CUmemGenericAllocationHandle handle;
	CUdeviceptr ptr, own;

	hear(from);
	start_device(0);
	OK(cuMemAlloc_v2(&own, MIB));
	OK(cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)fd_to_import,
					  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
	OK(cuMemAddressReserve(&ptr, BYTES, 0, 0, 0));
	OK(cuMemMap(ptr, BYTES, 0, handle, 0));
	OK(cuMemSetAccess(ptr, BYTES, &access, 1));
	CHECK(checksum(ptr, BYTES) == expected_checksum(BYTES, 8));
	close(fd_to_import);
	say(to, 'i');
	if (hear(from) == 'd') { // frees it again
		OK(cuMemUnmap(ptr, BYTES));
		OK(cuMemRelease(handle));
		say(to, 'd');
	}
	hear(from);
}

static void exporter(int from, int to)
{
	CUmemGenericAllocationHandle handle;
	CUdeviceptr ptr;

	start_device(0);
	ptr = vmm_alloc(BYTES, true, &handle);
	fill(ptr, BYTES, 8, NULL);
	OK(cuCtxSynchronize());
	OK(cuMemExportToShareableHandle(&fd_to_import, handle,
					CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
	// The other process opens our descriptor through /proc, which shares the file description.
	CHECK(write(to, &fd_to_import, sizeof(fd_to_import)) == sizeof(fd_to_import));
	if (hear(from) == 'v') {
		CHECK(checksum(ptr, BYTES) == expected_checksum(BYTES, 8));
		say(to, 'v');
	}
	hear(from);
}

static int take_fd(pid_t pid, int number)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd;

	CHECK(pidfd >= 0);
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	CHECK(fd >= 0);
	close(pidfd);
	return fd;
}

static void import_cycle(bool drop)
{
	struct child out = start_child(exporter), in;
	int number;

	CHECK(read(out.from, &number, sizeof(number)) == sizeof(number));
	fd_to_import = take_fd(out.pid, number);
	in = start_child(importer);
	close(fd_to_import);
	CHECK(ask(&in, 'g') == 'i');
	if (drop)
		CHECK(ask(&in, 'd') == 'd');
	OK(cuCheckpointProcessLock(in.pid, NULL));
	OK(cuCheckpointProcessCheckpoint(in.pid, NULL));
	CHECK(state_of(in.pid) == CU_PROCESS_STATE_CHECKPOINTED);
	if (drop) {
		OK(cuCheckpointProcessRestore(in.pid, NULL));
		OK(cuCheckpointProcessUnlock(in.pid, NULL));
	} else {
		RESULT_IS(cuCheckpointProcessRestore(in.pid, NULL), CUDA_ERROR_NOT_SUPPORTED);
		CHECK(state_of(in.pid) == CU_PROCESS_STATE_CHECKPOINTED);
		RESULT_IS(cuCheckpointProcessUnlock(in.pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	}
	// The owner still has its memory.
	CHECK(ask(&out, 'v') == 'v');
	end_child(&in);
	end_child(&out);
}

static void test_imported(void)
{
	import_cycle(false);
}

static void test_dropped(void)
{
	import_cycle(true);
}

// A checkpoint of the exporter drops the shared memory. Its restore gets new memory, and the
// importer keeps the old one.
static void test_checkpointed_exporter(void)
{
	struct child out = start_child(exporter);
	int number;

	CHECK(read(out.from, &number, sizeof(number)) == sizeof(number));
	fd_to_import = take_fd(out.pid, number);
	start_device(0);
	CHECK(free_memory() == 64 * MIB - BYTES);
	OK(cuCheckpointProcessLock(out.pid, NULL));
	OK(cuCheckpointProcessCheckpoint(out.pid, NULL));
	CHECK(free_memory() == 64 * MIB - BYTES);
	OK(cuCheckpointProcessRestore(out.pid, NULL));
	CHECK(free_memory() == 64 * MIB - 2 * BYTES);
	OK(cuCheckpointProcessUnlock(out.pid, NULL));
	CHECK(ask(&out, 'v') == 'v');
	end_child(&out);
	close(fd_to_import);
	CHECK(free_memory() == 64 * MIB);
}

int main(void)
{
	own_devices(2, 64);
	in_own_process(test_imported);
	in_own_process(test_dropped);
	in_own_process(test_full_device);
	in_own_process(test_other_device);
	in_own_process(test_checkpointed_exporter);
	return 0;
}
