// SPDX-License-Identifier: MIT
/*
 * Description: memory that replaces a cuMemAlloc behaves like cuMemAlloc
 * memory, is freed with its context and is accessible to enabled peers. After a
 * failure the driver allocates instead.
 */
#include "test/intercept/intercept_test.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The number of allocations that are ours, which the service thread would move. */
static uint64_t nr_moved(void)
{
	const struct pool_reply r = pool_evict(10000, ABORT_AFTER_END);

	return r.nr_handles;
}

static void sizes(void)
{
	static const size_t kept[] = {1, 512, 2 * MIB - 1};
	static const size_t moved[] = {2 * MIB, 2 * MIB + 1, 7 * MIB + 12345};
	CUdeviceptr small[3], large[3];

	for (int i = 0; i < 3; i++) {
		OK(cuMemAlloc_v2(&small[i], kept[i]));
		OK(cuMemAlloc_v2(&large[i], moved[i]));
		OK(cuMemsetD8_v2(large[i], 9, moved[i]));
	}
	CHECK(nr_moved() == 3);
	for (int i = 0; i < 3; i++) {
		OK(cuMemFree_v2(small[i]));
		OK(cuMemFree_v2(large[i]));
		FAILS(cuMemFree_v2(large[i]), CUDA_ERROR_INVALID_VALUE);
	}
	CHECK(!nr_moved());
	OK(cuMemFree_v2(0));
	FAILS(cuMemAlloc_v2(&small[0], 0), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuMemAlloc_v2(NULL, 4 * MIB), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuMemAlloc_v2(&small[0], 1ull << 40), CUDA_ERROR_OUT_OF_MEMORY);
	FAILS(cuMemAlloc_v2(&small[0], SIZE_MAX), CUDA_ERROR_OUT_OF_MEMORY);
	FAILS(cuMemFree_v2(0x1234), CUDA_ERROR_INVALID_VALUE);
}

static void queries(void)
{
	const size_t bytes = 5 * MIB + 100;
	CUpointer_attribute attributes[] = {
		CU_POINTER_ATTRIBUTE_CONTEXT, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
		CU_POINTER_ATTRIBUTE_RANGE_SIZE, CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES,
		CU_POINTER_ATTRIBUTE_MEMORY_TYPE};
	CUdeviceptr at, base = 0, start = 0;
	unsigned long long types = 99, id = 0, again = 0;
	size_t size = 0, range = 0;
	unsigned int kind = 0;
	CUcontext ctx = NULL;
	void *data[] = {&ctx, &start, &range, &types, &kind};

	OK(cuMemAlloc_v2(&at, bytes));
	OK(cuMemGetAddressRange_v2(&base, &size, at + bytes - 1));
	CHECK(base == at && size == bytes);
	OK(cuMemGetAddressRange_v2(NULL, &size, at));
	OK(cuMemGetAddressRange_v2(&base, NULL, at));
	OK(cuPointerGetAttributes(5, attributes, data, at + 5));
	CHECK(ctx == test_context(0) && start == at && range == bytes && !types);
	CHECK(kind == CU_MEMORYTYPE_DEVICE);
	OK(cuPointerGetAttribute(&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, at));
	OK(cuPointerGetAttribute(&again, CU_POINTER_ATTRIBUTE_BUFFER_ID, at + 4096));
	CHECK(id && id == again);
	/* The buffer id stays the same when the memory moves. */
	CHECK(!pool_evict(10000, BREAK_NEVER).error);
	CHECK(!pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER).error);
	pool_commit();
	OK(cuPointerGetAttribute(&again, CU_POINTER_ATTRIBUTE_BUFFER_ID, at));
	CHECK(id == again);
	/* A program may not do this with cuMemAlloc memory. */
	FAILS(cuMemUnmap(at, 6 * MIB), CUDA_ERROR_INVALID_VALUE);
	CUmemGenericAllocationHandle handle;
	FAILS(cuMemRetainAllocationHandle(&handle, (void *)(uintptr_t)at),
	      CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFree_v2(at));
	FAILS(cuPointerGetAttribute(&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, at),
	      CUDA_ERROR_INVALID_VALUE);
}

static void pitched(void)
{
	size_t pitch = 0, small_pitch = 0, size;
	CUdeviceptr at, small, base;

	OK(cuMemAllocPitch_v2(&at, &pitch, 1000, 5000, 4));
	OK(cuMemAllocPitch_v2(&small, &small_pitch, 1000, 2, 4));
	CHECK(pitch == small_pitch && pitch >= 1000);
	OK(cuMemGetAddressRange_v2(&base, &size, at));
	CHECK(base == at && size == pitch * 5000);
	CHECK(nr_moved() == 1);
	FAILS(cuMemAllocPitch_v2(&base, &pitch, 1000, 5000, 3), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFree_v2(at));
	OK(cuMemFree_v2(small));
}

static void contexts(void)
{
	const uint64_t before = pool_free_bytes();
	CUdeviceptr at[4];
	CUcontext ctx, popped;

	OK(cuCtxCreate_v2(&ctx, 0, 0));
	for (int i = 0; i < 3; i++)
		OK(cuMemAlloc_v2(&at[i], 4 * MIB));
	CHECK(pool_free_bytes() == before - 12 * MIB);
	OK(cuCtxPopCurrent_v2(&popped));
	OK(cuMemAlloc_v2(&at[3], 4 * MIB));
	OK(cuCtxDestroy_v2(ctx));
	CHECK(pool_free_bytes() == before - 4 * MIB);
	CHECK(nr_moved() == 1);
	FAILS(cuMemFree_v2(at[0]), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFree_v2(at[3]));
	CHECK(pool_free_bytes() == before);

	OK(cuCtxSetCurrent(test_context(1)));
	OK(cuMemAlloc_v2(&at[0], 4 * MIB));
	OK(cuDevicePrimaryCtxReset_v2(1));
	CHECK(!nr_moved());
	OK(cuCtxSetCurrent(test_context(0)));
}

static int access_of(CUdeviceptr at, int device)
{
	const CUmemLocation where = {CU_MEM_LOCATION_TYPE_DEVICE, device};
	unsigned long long flags = 99;

	OK(cuMemGetAccess(&flags, &where, at));
	return flags;
}

static void peers(void)
{
	CUdeviceptr before, after;
	CUcontext other;

	OK(cuCtxCreate_v2(&other, 0, 1));
	OK(cuMemAlloc_v2(&before, 2 * MIB)); /* on device 1 */
	OK(cuCtxSetCurrent(test_context(0)));
	CHECK(!access_of(before, 0) && access_of(before, 1));
	OK(cuCtxEnablePeerAccess(other, 0));
	FAILS(cuCtxEnablePeerAccess(other, 0), CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
	CHECK(access_of(before, 0) == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	OK(cuCtxSetCurrent(other));
	OK(cuMemAlloc_v2(&after, 2 * MIB));
	CHECK(access_of(after, 0) == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	fill(after, 2 * MIB, 5);
	/* Access rights are restored with the memory. */
	CHECK(!pool_evict(10000, BREAK_NEVER).error);
	CHECK(!pool_attach(CCR_ATTACH_MAP, SOURCE_IMAGE, BREAK_NEVER).error);
	CHECK(access_of(after, 0) == CU_MEM_ACCESS_FLAGS_PROT_READWRITE && access_of(after, 1));
	CHECK(holds(after, 2 * MIB, 5));
	OK(cuCtxSetCurrent(test_context(0)));
	OK(cuCtxDisablePeerAccess(other));
	CHECK(!access_of(before, 0) && !access_of(after, 0) && access_of(after, 1));
	OK(cuCtxDestroy_v2(other));
	CHECK(!nr_moved());
}

/* In a forked child the driver refuses calls, as without us, and nothing hangs. */
static void forked(void)
{
	CUdeviceptr at, mine;
	int status;
	pid_t child;

	OK(cuMemAlloc_v2(&at, 4 * MIB));
	fill(at, 4 * MIB, 3);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		FAILS(cuMemAlloc_v2(&mine, 4 * MIB), CUDA_ERROR_NOT_INITIALIZED);
		FAILS(cuMemFree_v2(at), CUDA_ERROR_NOT_INITIALIZED);
		FAILS(cuInit(0), CUDA_ERROR_NOT_INITIALIZED);
		CHECK(!service_tid(getpid()));
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
	CHECK(holds(at, 4 * MIB, 3));
	CHECK(nr_moved() == 1);
	OK(cuMemFree_v2(at));
}

static void shared_by_ipc(void)
{
	char handle[64];
	CUdeviceptr before, after;
	CUresult (*get)(void *, CUdeviceptr);

	*(void **)&get = NULL;
	OK(cuGetProcAddress_v2("cuIpcGetMemHandle", (void **)&get, 13000, 0, NULL));
	OK(cuMemAlloc_v2(&before, 4 * MIB));
	OK(get(handle, before));
	OK(cuMemAlloc_v2(&after, 4 * MIB));
	/* What is shared moves, too. */
	CHECK(nr_moved() == 2);
	OK(cuMemFree_v2(before));
	OK(cuMemFree_v2(after));
}

/* If the nth call of a step fails, the driver allocates and the program notices nothing. */
static void fall_backs(const char *program)
{
	static const char *const steps[] = {"cuMemAddressReserve:1:2", "cuMemCreate:1:2",
					    "cuMemMap:1:2", "cuMemSetAccess:1:1",
					    "cuMemGetAllocationGranularity:1:1"};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		char *argv[] = {(char *)program, "--failing", NULL};
		int status;
		pid_t child = fork();

		CHECK(child >= 0);
		if (!child) {
			setenv("SOFTCUDA_FAIL", steps[i], 1);
			execv("/proc/self/exe", argv);
			_exit(127);
		}
		CHECK(waitpid(child, &status, 0) == child);
		if (status)
			fprintf(stderr, "with %s failing: %#x\n", steps[i], status);
		CHECK(!status);
	}
}

static int one_failing(void)
{
	size_t free_before, free_after, total;
	CUdeviceptr at;

	OK(cuMemGetInfo_v2(&free_before, &total));
	OK(cuMemAlloc_v2(&at, 4 * MIB));
	fill(at, 4 * MIB, 8);
	CHECK(holds(at, 4 * MIB, 8));
	CHECK(!nr_moved());
	OK(cuMemFree_v2(at));
	OK(cuMemGetInfo_v2(&free_after, &total));
	CHECK(free_before == free_after);
	return 0;
}

int main(int argc, char **argv)
{
	setenv("SOFTCUDA_DEVICES", "2", 1);
	test_begin(argc, argv);
	test_cuda_begin();
	if (argc == 2 && !strcmp(argv[1], "--failing"))
		return one_failing();
	sizes();
	queries();
	pitched();
	contexts();
	peers();
	forked();
	shared_by_ipc();
	fall_backs(argv[0]);
	return 0;
}
