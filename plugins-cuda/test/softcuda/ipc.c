// SPDX-License-Identifier: MIT
// Description: CUDA IPC between two processes: memory of the own and of another device, and events.
#include "test/softcuda/softcuda_test.h"

#define BYTES (4 * MIB)
#define LAZY  1 // CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS

// The first word of a buffer that was filled with `key`. Waits for nothing.
static bool begins_with(CUdeviceptr ptr, uint64_t key)
{
	uint64_t have, expected;
	CUstream stream;

	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuMemcpyDtoHAsync_v2(&have, ptr, sizeof(have), stream));
	OK(cuStreamSynchronize(stream));
	OK(cuStreamDestroy_v2(stream));
	ccr_pattern_fill(&expected, 1, 0, key);
	return have == expected;
}

// What the two processes tell each other, apart from bytes: the child writes, we read.
static int messages[2];

struct offer {
	CUipcMemHandle large, inside, small;
	CUipcEventHandle event;
};

static CUevent shared_event(void)
{
	CUevent event;

	OK(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
	return event;
}

// Kernels of this process on `stream` wait until the flag that it returns is set.
static uint32_t *hold(CUstream stream)
{
	uint32_t *flags;
	CUdeviceptr address;
	void *params[1] = {&address};

	OK(cuMemHostAlloc((void **)&flags, 8, CU_MEMHOSTALLOC_DEVICEMAP));
	OK(cuMemHostGetDevicePointer_v2(&address, flags, 0));
	flags[CCR_SPIN_STOP] = 0;
	OK(cuLaunchKernel(kernel("ccr_spin"), 1, 1, 1, 1, 1, 1, 0, stream, params, NULL));
	return flags;
}

static void release(uint32_t *flags)
{
	__atomic_store_n(&flags[CCR_SPIN_STOP], 1, __ATOMIC_RELEASE);
}

static void exporter(int from, int to)
{
	CUdeviceptr large, neighbor, small;
	struct offer offer;
	CUstream stream;
	uint32_t *flags;
	CUevent event;

	start_device(0);
	OK(cuMemAlloc_v2(&large, BYTES));
	OK(cuMemAlloc_v2(&neighbor, 4096));
	OK(cuMemAlloc_v2(&small, 4096));
	fill(large, BYTES, 5, NULL);
	fill(small, 4096, 6, NULL);
	OK(cuCtxSynchronize());
	OK(cuIpcGetMemHandle(&offer.large, large));
	OK(cuIpcGetMemHandle(&offer.inside, large + MIB));
	OK(cuIpcGetMemHandle(&offer.small, small));
	RESULT_IS(cuIpcOpenMemHandle_v2(&neighbor, offer.large, LAZY), CUDA_ERROR_INVALID_CONTEXT);
	event = shared_event();
	OK(cuIpcGetEventHandle(&offer.event, event));
	RESULT_IS(cuIpcOpenEventHandle(&event, offer.event), CUDA_ERROR_INVALID_CONTEXT);
	CHECK(write(messages[1], &offer, sizeof(offer)) == sizeof(offer));
	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	CHECK(hear(from) == 'r');
	flags = hold(stream);
	fill(large, BYTES, 7, stream);
	OK(cuEventRecord(event, stream));
	RESULT_IS(cuEventQuery(event), CUDA_ERROR_NOT_READY);
	say(to, 'r');
	CHECK(hear(from) == 'g');
	release(flags);
	OK(cuStreamSynchronize(stream));
	// Now the other process records it.
	say(to, 'g');
	CHECK(hear(from) == 'w');
	RESULT_IS(cuEventQuery(event), CUDA_ERROR_NOT_READY);
	say(to, 'w');
	OK(cuEventSynchronize(event));
	say(to, 'e');
	hear(from);
}

static void test_events(struct child *child, const struct offer *offer, CUdeviceptr large)
{
	CUevent event, plain;
	CUipcEventHandle handle;
	CUstream stream;
	uint32_t *flags;

	OK(cuIpcOpenEventHandle(&event, offer->event));
	RESULT_IS(cuIpcGetEventHandle(&handle, event), CUDA_ERROR_INVALID_HANDLE);
	OK(cuEventQuery(event));
	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuStreamWaitEvent(stream, event, 0));
	OK(cuStreamSynchronize(stream)); // never recorded: nothing to wait for
	CHECK(ask(child, 'r') == 'r');
	RESULT_IS(cuEventQuery(event), CUDA_ERROR_NOT_READY);
	OK(cuStreamWaitEvent(stream, event, 0));
	fill(large, BYTES, 8, stream);
	RESULT_IS(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
	CHECK(begins_with(large, 5));
	CHECK(ask(child, 'g') == 'g');
	OK(cuStreamSynchronize(stream));
	CHECK(checksum(large, BYTES) == expected_checksum(BYTES, 8)); // after the exporter's 7
	flags = hold(stream);
	OK(cuEventRecord(event, stream));
	CHECK(ask(child, 'w') == 'w');
	release(flags);
	CHECK(hear(child->from) == 'e');
	OK(cuEventDestroy_v2(event));
	OK(cuEventCreate(&plain, CU_EVENT_DISABLE_TIMING));
	RESULT_IS(cuIpcGetEventHandle(&handle, plain), CUDA_ERROR_INVALID_HANDLE);
	RESULT_IS(cuEventCreate(&plain, CU_EVENT_INTERPROCESS), CUDA_ERROR_INVALID_VALUE);
}

static void test_memory(const struct offer *offer, CUdeviceptr *out)
{
	CUdeviceptr large, inside, small;
	CUipcMemHandle garbage = {{0}};

	RESULT_IS(cuIpcOpenMemHandle_v2(&large, garbage, LAZY), CUDA_ERROR_INVALID_VALUE);
	OK(cuIpcOpenMemHandle_v2(&large, offer->large, LAZY));
	CHECK(checksum(large, BYTES) == expected_checksum(BYTES, 5));
	// The handle of an address is that of its allocation, and what is open is only counted.
	OK(cuIpcOpenMemHandle_v2(&inside, offer->inside, LAZY));
	CHECK(inside == large);
	OK(cuIpcCloseMemHandle(large));
	CHECK(checksum(large, BYTES) == expected_checksum(BYTES, 5));
	OK(cuIpcCloseMemHandle(large));
	RESULT_IS(cuIpcCloseMemHandle(large), CUDA_ERROR_INVALID_VALUE);
	OK(cuIpcOpenMemHandle_v2(&small, offer->small, LAZY));
	CHECK(checksum(small, 4096) == expected_checksum(4096, 6));
	OK(cuIpcCloseMemHandle(small));
	OK(cuIpcOpenMemHandle_v2(out, offer->large, LAZY));
}

// A process on another device opens it, and its kernels get access to the first one.
static void other_device(int from, int to)
{
	struct offer offer;
	CUdeviceptr large;

	CHECK(hear(from) == 'o');
	start_device(1);
	CHECK(read(messages[0], &offer, sizeof(offer)) == sizeof(offer));
	RESULT_IS(cuIpcOpenMemHandle_v2(&large, offer.large, 0), CUDA_ERROR_INVALID_DEVICE);
	OK(cuIpcOpenMemHandle_v2(&large, offer.large, LAZY));
	CHECK(checksum(large, BYTES) == expected_checksum(BYTES, 8));
	say(to, 'd');
	hear(from);
}

int main(void)
{
	struct child child, other;
	struct offer offer;
	CUevent event;
	CUdeviceptr large, again;

	own_devices(2, 64);
	CHECK(!pipe(messages));
	child = start_child(exporter);
	other = start_child(other_device);
	start_device(0);
	CHECK(read(messages[0], &offer, sizeof(offer)) == sizeof(offer));
	test_memory(&offer, &large);
	test_events(&child, &offer, large);
	CHECK(write(messages[1], &offer, sizeof(offer)) == sizeof(offer));
	CHECK(ask(&other, 'o') == 'd');
	end_child(&other);
	// With the exporter, memory that was allocated by cuMemAlloc goes.
	end_child(&child);
	OK(cuIpcCloseMemHandle(large));
	RESULT_IS(cuIpcOpenMemHandle_v2(&again, offer.large, LAZY), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuIpcOpenEventHandle(&event, offer.event), CUDA_ERROR_MAP_FAILED);
	return 0;
}
