// SPDX-License-Identifier: MIT
// Custom storage: a Checkpoint and a Restore that map the memory of the process into the caller,
// and every documented error of them.
#include "test/softcuda/softcuda_test.h"

#define BYTES	(6 * MIB)
#define DEVICES 2

static CUdeviceptr memory[DEVICES][2];

static void worker(int from, int to)
{
	CUcontext contexts[DEVICES];
	char command;

	for (int d = 0; d < DEVICES; d++) {
		contexts[d] = start_device(d);
		for (int i = 0; i < 2; i++) {
			OK(cuMemAlloc_v2(&memory[d][i], BYTES + i * MIB));
			fill(memory[d][i], BYTES + i * MIB, (uint64_t)(7 * d + i), NULL);
		}
		OK(cuCtxSynchronize());
	}
	say(to, 'r');
	while ((command = hear(from))) {
		for (int d = 0; d < DEVICES; d++) {
			OK(cuCtxSetCurrent(contexts[d]));
			for (int i = 0; i < 2; i++)
				CHECK(checksum(memory[d][i], BYTES + i * MIB) ==
				      expected_checksum(BYTES + i * MIB, (uint64_t)(7 * d + i)));
		}
		say(to, command);
	}
}

static struct child locked_worker(void)
{
	const struct child child = start_child(worker);

	CHECK(hear(child.from) == 'r');
	OK(cuCheckpointProcessLock(child.pid, NULL));
	return child;
}

static void retain(int nr_devices)
{
	CUcontext context;

	OK(cuInit(0));
	for (int d = 0; d < nr_devices; d++)
		OK(cuDevicePrimaryCtxRetain(&context, d));
}

// The device of an entry, which only its stream tells.
static CUdevice device_of(const CUcheckpointCustomStoragePerDeviceData *data)
{
	CUcontext context;
	CUdevice device;

	OK(cuStreamGetCtx(data->stream, &context));
	OK(cuCtxPushCurrent_v2(context));
	OK(cuCtxGetDevice(&device));
	OK(cuCtxPopCurrent_v2(NULL));
	return device;
}

static size_t size_of(const CUcheckpointCustomStorageInfo *info)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < info->deviceCount; i++)
		bytes += info->perDeviceData[i].size;
	return bytes;
}

static CUresult checkpoint(pid_t pid, CUcheckpointCustomStorageInfo **info)
{
	CUcheckpointCheckpointArgs args = {.customStorageInfo_out = info};

	return cuCheckpointProcessCheckpoint(pid, &args);
}

static CUresult restore(pid_t pid, CUcheckpointCustomStorageInfo **info)
{
	CUcheckpointRestoreArgs args = {.customStorageInfo_out = info};

	return cuCheckpointProcessRestore(pid, &args);
}

// Copies to or from `saved`, which has the bytes of a device at its own place.
static void copy(const CUcheckpointCustomStorageInfo *info, char *saved[DEVICES], bool is_restore)
{
	for (unsigned int i = 0; i < info->deviceCount; i++) {
		const CUcheckpointCustomStoragePerDeviceData *data = &info->perDeviceData[i];
		const CUdevice device = device_of(data);

		if (is_restore) {
			OK(cuMemcpyHtoDAsync_v2(data->devPtr, saved[device], data->size,
						data->stream));
			continue;
		}
		CHECK((saved[device] = malloc(data->size)));
		OK(cuMemcpyDtoHAsync_v2(saved[device], data->devPtr, data->size, data->stream));
	}
}

static long resident_kb(pid_t pid)
{
	char path[40], line[200];
	long kb = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	CHECK((file = fopen(path, "re")));
	while (fgets(line, sizeof(line), file))
		sscanf(line, "VmRSS: %ld", &kb);
	fclose(file);
	return kb;
}

static void test_round_trip(void)
{
	struct child child = locked_worker();
	CUcheckpointCustomStorageInfo *info = NULL, *second;
	CUcheckpointOperationHandle handle;
	char *saved[DEVICES];
	CUdeviceptr mapped;
	long before;

	retain(DEVICES);
	OK(cuCtxSetCurrent(NULL));
	before = resident_kb(child.pid);
	OK(checkpoint(child.pid, &info));
	CHECK(info->deviceCount == DEVICES);
	CHECK(size_of(info) >= DEVICES * (2 * BYTES + MIB));
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_CHECKPOINTING);
	// A second operation at once, and steps that the state does not allow.
	RESULT_IS(checkpoint(child.pid, &second), CUDA_ERROR_ILLEGAL_STATE);
	RESULT_IS(cuCheckpointProcessCheckpoint(child.pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	RESULT_IS(restore(child.pid, &second), CUDA_ERROR_ILLEGAL_STATE);
	RESULT_IS(cuCheckpointProcessUnlock(child.pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	copy(info, saved, false);
	mapped = info->perDeviceData[0].devPtr;
	handle = info->handle;
	OK(cuCheckpointOperationComplete(handle)); // frees `info`
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_CHECKPOINTED);
	RESULT_IS(cuCheckpointOperationComplete(handle), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemGetAddressRange_v2(&mapped, NULL, mapped), CUDA_ERROR_NOT_FOUND);
	CHECK(resident_kb(child.pid) - before < 1024); // no copy in host memory
	// Only custom storage has the bytes.
	RESULT_IS(cuCheckpointProcessRestore(child.pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	OK(restore(child.pid, &info));
	CHECK(info->deviceCount == DEVICES);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_RESTORING);
	copy(info, saved, true);
	OK(cuCheckpointOperationComplete(info->handle));
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_LOCKED);
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	CHECK(ask(&child, 'v') == 'v');
	end_child(&child);
}

// Contexts on both devices, and memory on the first alone.
static void one_sided_worker(int from, int to)
{
	CUdeviceptr at;

	start_device(1);
	start_device(0);
	OK(cuMemAlloc_v2(&at, BYTES));
	say(to, 'r');
	while (hear(from))
		say(to, 'v');
}

// A device without memory is listed, and the caller needs a context there as well.
static void test_empty_device(void)
{
	struct child child = start_child(one_sided_worker);
	CUcheckpointCustomStorageInfo *info;

	CHECK(hear(child.from) == 'r');
	OK(cuCheckpointProcessLock(child.pid, NULL));
	retain(1);
	RESULT_IS(checkpoint(child.pid, &info), CUDA_ERROR_INVALID_CONTEXT);
	retain(DEVICES);
	OK(checkpoint(child.pid, &info));
	CHECK(info->deviceCount == DEVICES);
	for (unsigned int i = 0; i < DEVICES; i++)
		CHECK(info->perDeviceData[i].size ==
		      (device_of(&info->perDeviceData[i]) ? 0 : BYTES));
	OK(cuCheckpointOperationComplete(info->handle));
	OK(restore(child.pid, &info));
	CHECK(info->deviceCount == DEVICES);
	OK(cuCheckpointOperationComplete(info->handle));
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_LOCKED);
	end_child(&child);
}

// The driver cannot know what was not copied: new memory is zero there.
static void test_short_copy(void)
{
	struct child child = locked_worker();
	CUcheckpointCustomStorageInfo *info;
	unsigned char last = 1;

	retain(DEVICES);
	OK(checkpoint(child.pid, &info));
	OK(cuCheckpointOperationComplete(info->handle));
	OK(restore(child.pid, &info));
	OK(cuMemcpyDtoHAsync_v2(&last,
				info->perDeviceData[0].devPtr + info->perDeviceData[0].size - 1, 1,
				info->perDeviceData[0].stream));
	OK(cuCheckpointOperationComplete(info->handle));
	CHECK(!last);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_LOCKED);
	end_child(&child);
}

static void test_refused(void)
{
	struct child child = locked_worker();
	CUcheckpointCustomStorageInfo *info;
	CUcheckpointCheckpointArgs args = {.customStorageInfo_out = &info};

	RESULT_IS(checkpoint(child.pid, &info), CUDA_ERROR_NOT_INITIALIZED);
	RESULT_IS(cuCheckpointOperationComplete(NULL), CUDA_ERROR_NOT_INITIALIZED);
	retain(1); // the process is on two
	RESULT_IS(checkpoint(child.pid, &info), CUDA_ERROR_INVALID_CONTEXT);
	RESULT_IS(checkpoint(getpid(), &info), CUDA_ERROR_NOT_SUPPORTED);
	RESULT_IS(cuCheckpointOperationComplete(NULL), CUDA_ERROR_INVALID_VALUE);
	args.reserved[0] = 1;
	RESULT_IS(cuCheckpointProcessCheckpoint(child.pid, &args), CUDA_ERROR_INVALID_VALUE);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_LOCKED);
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	retain(DEVICES);
	RESULT_IS(checkpoint(child.pid, &info), CUDA_ERROR_ILLEGAL_STATE);
	RESULT_IS(restore(child.pid, &info), CUDA_ERROR_ILLEGAL_STATE);
	// A checkpoint in host memory is not restored from elsewhere.
	OK(cuCheckpointProcessLock(child.pid, NULL));
	OK(cuCheckpointProcessCheckpoint(child.pid, NULL));
	RESULT_IS(restore(child.pid, &info), CUDA_ERROR_ILLEGAL_STATE);
	OK(cuCheckpointProcessRestore(child.pid, NULL));
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	CHECK(ask(&child, 'v') == 'v');
	end_child(&child);
}

static void test_capture(void)
{
	struct child child = locked_worker();
	CUcheckpointCustomStorageInfo *info;
	CUgraph graph;

	retain(DEVICES);
	OK(checkpoint(child.pid, &info));
	OK(cuStreamBeginCapture_v2(info->perDeviceData[0].stream, 0));
	RESULT_IS(cuCheckpointOperationComplete(info->handle),
		  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	cuStreamEndCapture(info->perDeviceData[0].stream, &graph);
	OK(cuCheckpointOperationComplete(info->handle));
	end_child(&child);
}

// A caller that ends before it completes: `is_restore` says which of the two operations.
static void abandon(pid_t pid, bool is_restore)
{
	CUcheckpointCustomStorageInfo *info;
	int status;
	pid_t caller = fork();

	CHECK(caller >= 0);
	if (!caller) {
		retain(DEVICES);
		OK(checkpoint(pid, &info));
		if (is_restore) {
			OK(cuCheckpointOperationComplete(info->handle));
			OK(restore(pid, &info));
		}
		kill(getpid(), SIGKILL);
	}
	CHECK(waitpid(caller, &status, 0) == caller && WIFSIGNALED(status));
}

static void test_abandoned_checkpoint(void)
{
	struct child child = locked_worker();

	abandon(child.pid, false);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_LOCKED);
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	CHECK(ask(&child, 'v') == 'v');
	end_child(&child);
}

static void test_abandoned_restore(void)
{
	struct child child = locked_worker();

	abandon(child.pid, true);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_FAILED);
	RESULT_IS(cuCheckpointProcessUnlock(child.pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	end_child(&child);
}

static void test_stuck(void)
{
	struct child child;

	CHECK(!setenv("SOFTCUDA_ABANDONED", "stuck", 1));
	child = locked_worker();
	abandon(child.pid, false);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_CHECKPOINTING);
	RESULT_IS(cuCheckpointProcessUnlock(child.pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
	end_child(&child);
}

static void test_dead_process(void)
{
	struct child child = locked_worker();
	CUcheckpointCustomStorageInfo *info;
	CUcheckpointOperationHandle handle;

	retain(DEVICES);
	OK(checkpoint(child.pid, &info));
	end_child(&child);
	handle = info->handle;
	RESULT_IS(cuCheckpointOperationComplete(handle), CUDA_ERROR_OPERATING_SYSTEM);
	RESULT_IS(cuCheckpointOperationComplete(handle), CUDA_ERROR_INVALID_VALUE);
}

static void test_other_device(void)
{
	struct child child = locked_worker();
	CUcheckpointCustomStorageInfo *info;
	CUcheckpointGpuPair pairs[DEVICES];
	CUcheckpointRestoreArgs args = {
		.gpuPairs = pairs, .gpuPairsCount = 1, .customStorageInfo_out = &info};
	char *saved[DEVICES], *swapped[DEVICES];

	CHECK(!setenv("SOFTCUDA_STORAGE_ORDER", "reverse", 1));
	retain(DEVICES);
	OK(checkpoint(child.pid, &info));
	CHECK(device_of(&info->perDeviceData[0]) == DEVICES - 1);
	copy(info, saved, false);
	OK(cuCheckpointOperationComplete(info->handle));
	for (int d = 0; d < DEVICES; d++) {
		OK(cuDeviceGetUuid(&pairs[d].oldUuid, d));
		OK(cuDeviceGetUuid(&pairs[d].newUuid, DEVICES - 1 - d));
		swapped[DEVICES - 1 - d] = saved[d];
	}
	RESULT_IS(cuCheckpointProcessRestore(child.pid, &args), CUDA_ERROR_INVALID_VALUE);
	args.gpuPairsCount = DEVICES;
	OK(cuCheckpointProcessRestore(child.pid, &args));
	copy(info, swapped, true);
	OK(cuCheckpointOperationComplete(info->handle));
	OK(cuCheckpointProcessUnlock(child.pid, NULL));
	CHECK(ask(&child, 'v') == 'v');
	end_child(&child);
}

// Earlier drivers have neither the call (api.c) nor the field in the arguments.
static void test_earlier_driver(void)
{
	CUcheckpointCustomStorageInfo *info;
	struct child child;

	CHECK(!setenv("SOFTCUDA_DRIVER", "610", 1));
	child = locked_worker();
	retain(DEVICES);
	RESULT_IS(checkpoint(child.pid, &info), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuCheckpointOperationComplete(NULL), CUDA_ERROR_NOT_SUPPORTED);
	CHECK(state_of(child.pid) == CU_PROCESS_STATE_LOCKED);
	end_child(&child);
}

int main(void)
{
	own_devices(DEVICES, 64);
	in_own_process(test_earlier_driver);
	CHECK(!setenv("SOFTCUDA_DRIVER", "615", 1));
	in_own_process(test_round_trip);
	in_own_process(test_empty_device);
	in_own_process(test_short_copy);
	in_own_process(test_refused);
	in_own_process(test_capture);
	in_own_process(test_abandoned_checkpoint);
	in_own_process(test_abandoned_restore);
	in_own_process(test_stuck);
	in_own_process(test_dead_process);
	in_own_process(test_other_device);
	return 0;
}
