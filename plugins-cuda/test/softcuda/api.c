// SPDX-License-Identifier: MIT
// Initialization, symbols, devices, contexts, fork.
#include "test/softcuda/softcuda_test.h"

#include <dlfcn.h>

static void test_symbols(void)
{
	CUdriverProcAddressQueryResult status;
	void *pfn;

	OK(cuGetProcAddress_v2("cuMemAlloc", &pfn, 12000, 0, &status));
	CHECK(pfn == (void *)cuMemAlloc_v2 && status == CU_GET_PROC_ADDRESS_SUCCESS);
	OK(cuGetProcAddress("cuGetProcAddress", &pfn, 11030, 0));
	CHECK(pfn == (void *)cuGetProcAddress);
	OK(cuGetProcAddress("cuGetProcAddress", &pfn, 13000, 0));
	CHECK(pfn == (void *)cuGetProcAddress_v2);
	OK(cuGetProcAddress_v2("cuMemcpyHtoDAsync", &pfn, 13000,
			       CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, NULL));
	CHECK(pfn && pfn != (void *)cuMemcpyHtoDAsync_v2);
	CHECK(pfn == dlsym(RTLD_DEFAULT, "cuMemcpyHtoDAsync_v2_ptsz"));
	OK(cuGetProcAddress_v2("cuMemcpyHtoDAsync", &pfn, 13000, CU_GET_PROC_ADDRESS_LEGACY_STREAM,
			       NULL));
	CHECK(pfn == (void *)cuMemcpyHtoDAsync_v2);
	RESULT_IS(cuGetProcAddress_v2("cuNoSuchCall", &pfn, 13000, 0, &status),
		  CUDA_ERROR_NOT_FOUND);
	CHECK(!pfn && status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
	RESULT_IS(cuGetProcAddress_v2("cuLaunchKernelEx", &pfn, 11000, 0, &status),
		  CUDA_ERROR_NOT_FOUND);
	CHECK(!pfn && status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
	RESULT_IS(cuGetProcAddress_v2("cuMemAlloc_v2", &pfn, 13000, 0, &status),
		  CUDA_ERROR_NOT_FOUND);
	RESULT_IS(cuGetProcAddress_v2(NULL, &pfn, 13000, 0, &status), CUDA_ERROR_INVALID_VALUE);
	// A known but missing call must be reported as missing.
	OK(cuGetProcAddress_v2("cuMemAllocManaged", &pfn, 13000, 0, &status));
	RESULT_IS(((CUresult(*)(CUdeviceptr *, size_t, unsigned int))pfn)(NULL, 1, 1),
		  CUDA_ERROR_NOT_SUPPORTED);
}

static void test_errors(void)
{
	const char *text = NULL;

	OK(cuGetErrorName(CUDA_ERROR_ILLEGAL_STATE, &text));
	CHECK(!strcmp(text, "CUDA_ERROR_ILLEGAL_STATE"));
	OK(cuGetErrorString(CUDA_SUCCESS, &text));
	CHECK(text && *text);
	RESULT_IS(cuGetErrorName((CUresult)12345, &text), CUDA_ERROR_INVALID_VALUE);
	CHECK(!text);
	CHECK(ccr_cuda_error_value("CUDA_ERROR_NOT_READY") == 600);
	CHECK(ccr_cuda_error_value("CUDA_ERROR_NONSENSE") == -1);
}

// The tests run as each driver (SOFTCUDA_DRIVER).
static int api_version(void)
{
	const char *driver = getenv("SOFTCUDA_DRIVER");

	return !driver || !strcmp(driver, "580") ? 13000 : !strcmp(driver, "610") ? 13030 : 13040;
}

static void test_devices(void)
{
	CUuuid first, second;
	char name[100];
	CUdevice dev;
	size_t bytes;
	int value;

	OK(cuDriverGetVersion(&value));
	CHECK(value == api_version());
	OK(cuDeviceGetCount(&value));
	CHECK(value == 2);
	RESULT_IS(cuDeviceGet(&dev, 2), CUDA_ERROR_INVALID_DEVICE);
	OK(cuDeviceGet(&dev, 1));
	OK(cuDeviceGetName(name, sizeof(name), dev));
	CHECK(strstr(name, "software"));
	OK(cuDeviceTotalMem_v2(&bytes, dev));
	CHECK(bytes == 64 * MIB);
	OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
				0));
	CHECK(value == 1);
	OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0));
	CHECK(value == 0);
	OK(cuDeviceGetUuid(&first, 0));
	OK(cuDeviceGetUuid_v2(&second, 1));
	CHECK(memcmp(&first, &second, sizeof(first)));
	OK(cuDeviceGetPCIBusId(name, sizeof(name), 0));
	RESULT_IS(cuDeviceGetPCIBusId(name, 4, 0), CUDA_ERROR_INVALID_VALUE);
	OK(cuDeviceCanAccessPeer(&value, 0, 1));
	CHECK(value == 1);
}

static void test_contexts(void)
{
	CUcontext primary, again, made, current;
	unsigned int flags;
	CUdeviceptr ptr;
	CUdevice dev;
	int active;

	OK(cuCtxGetCurrent(&current));
	CHECK(!current);
	RESULT_IS(cuCtxSynchronize(), CUDA_ERROR_INVALID_CONTEXT);
	OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
	CHECK(!active);
	OK(cuDevicePrimaryCtxRetain(&primary, 0));
	OK(cuDevicePrimaryCtxRetain(&again, 0));
	CHECK(primary == again);
	OK(cuCtxSetCurrent(primary));
	OK(cuCtxCreate_v2(&made, CU_CTX_SCHED_SPIN, 1));
	OK(cuCtxGetDevice(&dev));
	CHECK(dev == 1);
	OK(cuCtxGetFlags(&flags));
	CHECK(flags == CU_CTX_SCHED_SPIN);
	OK(cuMemAlloc_v2(&ptr, MIB));
	CHECK(free_memory() == 62 * MIB);
	OK(cuCtxPushCurrent_v2(primary));
	OK(cuCtxDestroy_v2(made)); // also frees its memory
	RESULT_IS(cuCtxDestroy_v2(made), CUDA_ERROR_INVALID_CONTEXT);
	OK(cuCtxPopCurrent_v2(&current));
	CHECK(current == primary);
	RESULT_IS(cuCtxSynchronize(), CUDA_ERROR_CONTEXT_IS_DESTROYED);
	OK(cuCtxPopCurrent_v2(NULL));
	OK(cuCtxGetCurrent(&current));
	CHECK(current == primary);
	RESULT_IS(cuCtxSetCurrent(made), CUDA_ERROR_INVALID_CONTEXT);
	OK(cuCtxCreate_v2(&made, 0, 1));
	CHECK(free_memory() == 64 * MIB);
	OK(cuCtxDestroy_v2(made));
	OK(cuMemAlloc_v2(&ptr, MIB));
	OK(cuDevicePrimaryCtxRelease_v2(0));
	OK(cuCtxSynchronize());
	OK(cuDevicePrimaryCtxRelease_v2(0));
	RESULT_IS(cuCtxSynchronize(), CUDA_ERROR_CONTEXT_IS_DESTROYED);
	RESULT_IS(cuDevicePrimaryCtxRelease_v2(0), CUDA_ERROR_INVALID_CONTEXT);
	start_device(0);
	CHECK(free_memory() == 64 * MIB);
	RESULT_IS(cuMemFree_v2(ptr), CUDA_ERROR_INVALID_VALUE);
}

static void test_peers(void)
{
	CUcontext first = start_device(0), second;
	CUdeviceptr near, far;
	uint64_t word = 0;

	OK(cuDevicePrimaryCtxRetain(&second, 1));
	OK(cuMemAlloc_v2(&near, 4096));
	OK(cuCtxSetCurrent(second));
	OK(cuMemAlloc_v2(&far, 4096));
	OK(cuCtxSetCurrent(first));
	// A copy can access the other device without peer access, a kernel cannot.
	OK(cuMemsetD8_v2(near, 0x11, 4096));
	OK(cuMemcpyPeer(far, second, near, first, 4096));
	OK(cuMemcpyDtoH_v2(&word, far + 8, 8));
	CHECK(word == 0x1111111111111111);
	OK(cuCtxEnablePeerAccess(second, 0));
	RESULT_IS(cuCtxEnablePeerAccess(second, 0), CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
	fill(far, 4096, 9, NULL);
	OK(cuCtxSynchronize());
	OK(cuCtxDisablePeerAccess(second));
	RESULT_IS(cuCtxDisablePeerAccess(second), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
	CHECK(checksum(near, 4096) != expected_checksum(4096, 9));
	OK(cuMemcpyPeer(near, first, far, second, 4096));
	CHECK(checksum(near, 4096) == expected_checksum(4096, 9));
	fill(far, 4096, 10, NULL);
	RESULT_IS(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	OK(cuDevicePrimaryCtxReset_v2(0));
	OK(cuDevicePrimaryCtxReset_v2(1));
}

static void test_fork(void)
{
	CUprocessState state;
	int status, ready[2], tid;
	char byte;
	pid_t pid;

	CHECK(!pipe(ready));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		// A forked child cannot use the device, even if it calls cuInit.
		int count;

		RESULT_IS(cuInit(0), CUDA_ERROR_NOT_INITIALIZED);
		RESULT_IS(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
		say(ready[1], 'r');
		pause();
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	RESULT_IS(cuCheckpointProcessGetState(getppid(), &state), CUDA_ERROR_NOT_INITIALIZED);
	RESULT_IS(cuCheckpointProcessGetState(pid, &state), CUDA_ERROR_NOT_INITIALIZED);
	RESULT_IS(cuCheckpointProcessGetRestoreThreadId(pid, &tid), CUDA_ERROR_NOT_INITIALIZED);
	RESULT_IS(cuCheckpointProcessLock(pid, NULL), CUDA_ERROR_NOT_INITIALIZED);
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid);
	RESULT_IS(cuCheckpointProcessGetState(pid, &state), CUDA_ERROR_OPERATING_SYSTEM);
	RESULT_IS(cuCheckpointProcessLock(pid, NULL), CUDA_ERROR_OPERATING_SYSTEM);
	CHECK(state_of(getpid()) == CU_PROCESS_STATE_RUNNING);
}

static void child_before_init(int from, int to)
{
	start_device(0);
	say(to, free_memory() == 64 * MIB ? 'y' : 'n');
}

static void test_driver_610(void)
{
	CUdriverProcAddressQueryResult found;
	void *function;
	int version;

	CHECK(!setenv("SOFTCUDA_DRIVER", "610", 1));
	OK(cuDriverGetVersion(&version));
	CHECK(version == 13030);
	RESULT_IS(cuGetProcAddress_v2("cuCheckpointOperationComplete", &function, 13040, 0, &found),
		  CUDA_ERROR_NOT_FOUND);
	CHECK(!function && found != CU_GET_PROC_ADDRESS_SUCCESS);
}

static void test_driver_615(void)
{
	CUdriverProcAddressQueryResult found;
	void *function;
	int version;

	CHECK(!setenv("SOFTCUDA_DRIVER", "615", 1));
	OK(cuDriverGetVersion(&version));
	CHECK(version == 13040);
	OK(cuGetProcAddress_v2("cuCheckpointOperationComplete", &function, 13040, 0, &found));
	CHECK(function && found == CU_GET_PROC_ADDRESS_SUCCESS);
	RESULT_IS(cuGetProcAddress_v2("cuCheckpointOperationComplete", &function, 13000, 0, &found),
		  CUDA_ERROR_NOT_FOUND);
	CHECK(found == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
}

int main(void)
{
	struct child early;
	int value;

	own_devices(2, 64);
	early = start_child(child_before_init);
	CHECK(hear(early.from) == 'y');
	end_child(&early);
	in_own_process(test_driver_610);
	in_own_process(test_driver_615);
	test_symbols();
	test_errors();
	RESULT_IS(cuDeviceGetCount(&value), CUDA_ERROR_NOT_INITIALIZED);
	RESULT_IS(cuInit(1), CUDA_ERROR_INVALID_VALUE);
	OK(cuInit(0));
	OK(cuInit(0));
	test_devices();
	test_contexts();
	test_peers();
	test_fork();
	return 0;
}
