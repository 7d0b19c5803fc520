// SPDX-License-Identifier: MIT
// Order and overlap: streams, default streams, events, host functions, threads, errors.
#include "test/softcuda/softcuda_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define BYTES (1 * MIB)

static _Atomic uint32_t *flags; // flags of the spin kernel, pinned

static void spin(CUstream stream)
{
	uint64_t ptr = (uint64_t)(uintptr_t)flags;
	void *params[] = {&ptr};

	atomic_store(&flags[CCR_SPIN_STOP], 0);
	atomic_store(&flags[CCR_SPIN_RUNNING], 0);
	OK(cuLaunchKernel(kernel("ccr_spin"), 1, 1, 1, 1, 1, 1, 0, stream, params, NULL));
}

static void stop_spin(void)
{
	atomic_store(&flags[CCR_SPIN_STOP], 1);
}

static void test_overlap(void)
{
	CUstream blocking, other, independent;
	CUdeviceptr ptr;
	CUevent event;
	unsigned char byte = 0;

	OK(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
	OK(cuStreamCreate(&other, CU_STREAM_DEFAULT));
	OK(cuStreamCreate(&independent, CU_STREAM_NON_BLOCKING));
	OK(cuEventCreate(&event, 0));
	OK(cuMemAlloc_v2(&ptr, BYTES));
	OK(cuStreamQuery(blocking));
	// A kernel in a non-blocking stream does not block other streams.
	spin(independent);
	RESULT_IS(cuStreamQuery(independent), CUDA_ERROR_NOT_READY);
	OK(cuMemsetD8_v2(ptr, 5, BYTES));
	OK(cuMemcpyDtoH_v2(&byte, ptr, 1));
	CHECK(byte == 5);
	OK(cuStreamSynchronize(blocking));
	stop_spin();
	OK(cuStreamSynchronize(independent));
	// A kernel in a blocking stream blocks the legacy stream, which blocks the other blocking
	// streams.
	spin(blocking);
	OK(cuMemsetD8_v2(ptr, 6, BYTES));
	OK(cuMemsetD8Async(ptr, 7, BYTES / 2, other));
	OK(cuEventRecord(event, other));
	RESULT_IS(cuStreamQuery(NULL), CUDA_ERROR_NOT_READY);
	RESULT_IS(cuStreamQuery(other), CUDA_ERROR_NOT_READY);
	RESULT_IS(cuEventQuery(event), CUDA_ERROR_NOT_READY);
	OK(cuMemcpyDtoHAsync_v2(&byte, ptr, 1, independent));
	CHECK(byte == 5);
	stop_spin();
	OK(cuEventSynchronize(event));
	OK(cuMemcpyDtoH_v2(&byte, ptr, 1));
	CHECK(byte == 7);
	OK(cuMemcpyDtoH_v2(&byte, ptr + BYTES - 1, 1));
	CHECK(byte == 6);
	OK(cuMemFree_v2(ptr));
	OK(cuEventDestroy_v2(event));
	OK(cuStreamDestroy_v2(blocking));
	OK(cuStreamDestroy_v2(other));
	OK(cuStreamDestroy_v2(independent));
	RESULT_IS(cuStreamSynchronize(other), CUDA_ERROR_INVALID_HANDLE);
	RESULT_IS(cuEventQuery(event), CUDA_ERROR_INVALID_HANDLE);
}

static void test_events(void)
{
	CUstream first, second;
	CUevent start, done, never;
	CUdeviceptr ptr;
	unsigned char byte;
	float ms = -1;

	OK(cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
	OK(cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
	OK(cuEventCreate(&start, 0));
	OK(cuEventCreate(&done, 0));
	OK(cuEventCreate(&never, CU_EVENT_DISABLE_TIMING));
	OK(cuMemAlloc_v2(&ptr, BYTES));
	OK(cuEventQuery(never));
	RESULT_IS(cuEventElapsedTime(&ms, start, done), CUDA_ERROR_INVALID_HANDLE);
	OK(cuEventRecord(start, first));
	spin(first);
	OK(cuMemsetD8Async(ptr, 1, BYTES, first));
	OK(cuEventRecord(done, first));
	OK(cuStreamWaitEvent(second, done, 0));
	OK(cuMemsetD8Async(ptr, 2, BYTES, second));
	RESULT_IS(cuStreamQuery(second), CUDA_ERROR_NOT_READY);
	RESULT_IS(cuEventElapsedTime(&ms, start, done), CUDA_ERROR_NOT_READY);
	stop_spin();
	OK(cuStreamSynchronize(second));
	OK(cuMemcpyDtoH_v2(&byte, ptr, 1));
	CHECK(byte == 2);
	OK(cuEventElapsedTime(&ms, start, done));
	CHECK(ms >= 0);
	OK(cuStreamDestroy_v2(first));
	OK(cuStreamDestroy_v2(second));
	OK(cuEventDestroy_v2(start));
	OK(cuEventDestroy_v2(done));
	OK(cuEventDestroy_v2(never));
	OK(cuMemFree_v2(ptr));
}

static void test_pageable(void)
{
	static unsigned char small[1000], large[300000], back[300000];
	CUstream stream;
	CUdeviceptr ptr;

	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuMemAlloc_v2(&ptr, sizeof(large)));
	// A small pageable source may be changed right after the call, although the stream is busy.
	spin(stream);
	memset(small, 1, sizeof(small));
	OK(cuMemcpyHtoDAsync_v2(ptr, small, sizeof(small), stream));
	memset(small, 2, sizeof(small));
	RESULT_IS(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
	stop_spin();
	OK(cuMemcpyDtoHAsync_v2(back, ptr, sizeof(small),
				stream)); // waits, since the memory is pageable
	CHECK(back[0] == 1 && back[999] == 1);
	memset(large, 3, sizeof(large));
	OK(cuMemcpyHtoDAsync_v2(ptr, large, sizeof(large), stream));
	memset(large, 4, sizeof(large));
	OK(cuMemcpyDtoHAsync_v2(back, ptr, sizeof(back), stream));
	CHECK(back[0] == 3 && back[sizeof(back) - 1] == 3);
	OK(cuMemFree_v2(ptr));
	OK(cuStreamDestroy_v2(stream));
}

static void append(void *data)
{
	char *text = data;

	text[strlen(text)] = (char)('a' + strlen(text));
}

static void append_callback(CUstream stream, CUresult status, void *data)
{
	CHECK(stream && status == CUDA_SUCCESS);
	append(data);
}

static void test_host_functions(void)
{
	char text[8] = "";
	CUstream stream;

	OK(cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, -1));
	spin(stream);
	OK(cuLaunchHostFunc(stream, append, text));
	OK(cuStreamAddCallback(stream, append_callback, text, 0));
	OK(cuLaunchHostFunc(stream, append, text));
	RESULT_IS(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
	stop_spin();
	OK(cuCtxSynchronize());
	CHECK(!strcmp(text, "abc"));
	OK(cuStreamDestroy_v2(stream));
}

static void *thread_body(void *arg)
{
	uint64_t key = (uint64_t)(uintptr_t)arg;
	CUdeviceptr ptr;
	CUstream stream;

	start_device(0);
	OK(cuMemAlloc_v2(&ptr, BYTES));
	OK(cuStreamCreate(&stream, key % 2 ? CU_STREAM_NON_BLOCKING : CU_STREAM_DEFAULT));
	for (uint64_t round = 0; round < 20; round++) {
		fill(ptr, BYTES, key * 100 + round, round % 3 ? stream : CU_STREAM_PER_THREAD);
		OK(cuStreamSynchronize(round % 3 ? stream : CU_STREAM_PER_THREAD));
		CHECK(checksum(ptr, BYTES) == expected_checksum(BYTES, key * 100 + round));
	}
	OK(cuStreamDestroy_v2(stream));
	OK(cuMemFree_v2(ptr));
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		CHECK(!pthread_create(&threads[i], NULL, thread_body, (void *)(i + 1)));
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_join(threads[i], NULL));
	CHECK(free_memory() == 64 * MIB);
}

static void test_errors(void)
{
	CUdeviceptr ptr;
	CUevent event;

	OK(cuMemAlloc_v2(&ptr, 4096));
	OK(cuEventCreate(&event, 0));
	fill(ptr + 4, 8, 1, NULL);
	RESULT_IS(cuCtxSynchronize(), CUDA_ERROR_MISALIGNED_ADDRESS);
	// As on hardware, the context is unusable until the device is reset.
	RESULT_IS(cuMemAlloc_v2(&ptr, 4096), CUDA_ERROR_MISALIGNED_ADDRESS);
	OK(cuDevicePrimaryCtxReset_v2(0));
	start_device(0);
	OK(cuMemAlloc_v2(&ptr, 4096));
	fill(ptr, 8192, 1, NULL);
	RESULT_IS(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	OK(cuDevicePrimaryCtxReset_v2(0));
}

int main(void)
{
	own_devices(1, 64);
	start_device(0);
	OK(cuMemHostAlloc((void **)&flags, 8, CU_MEMHOSTALLOC_DEVICEMAP));
	test_overlap();
	test_events();
	test_pageable();
	test_host_functions();
	test_threads();
	test_errors();
	return 0;
}
