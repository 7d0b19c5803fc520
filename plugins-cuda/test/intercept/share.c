// SPDX-License-Identifier: MIT
/*
 * Description: memory that is bound to a multicast object stays with the driver,
 * in either version of the calls, while other memory moves; and the mailbox has
 * the exact numbers of what is imported and exported.
 */
#include "test/intercept/intercept_test.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/protocol/mailbox.h"

extern char **environ;

static CUmemGenericAllocationHandle create(CUmemAllocationHandleType types)
{
	const CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
					  .requestedHandleTypes = types,
					  .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
	CUmemGenericAllocationHandle handle;

	OK(cuMemCreate(&handle, 2 * MIB, &prop, 0));
	return handle;
}

static CUdeviceptr reserve(void)
{
	CUdeviceptr at;

	OK(cuMemAddressReserve(&at, 2 * MIB, 0, 0, 0));
	return at;
}

static void map(CUdeviceptr at, CUmemGenericAllocationHandle handle)
{
	const CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0},
					CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

	OK(cuMemMap(at, 2 * MIB, 0, handle, 0));
	OK(cuMemSetAccess(at, 2 * MIB, &access, 1));
}

/* The memory at `moving` moves, and that at `bound` has the same bytes as before. */
static void check_excluded(CUdeviceptr moving, CUdeviceptr bound)
{
	struct pool_reply r;

	fill(bound, 2 * MIB, 5);
	r = pool_evict(10000, BREAK_NEVER);
	CHECK(!r.error && r.nr_handles == 1);
	pool_commit();
	r = pool_attach(CCR_ATTACH_ADOPT, SOURCE_IMAGE, BREAK_NEVER);
	CHECK(!r.error);
	CHECK(holds(moving, 2 * MIB, 4) && holds(bound, 2 * MIB, 5));
}

static uint64_t nr_multicasts(void)
{
	struct ccr_mailbox mailbox;

	CHECK(!ccr_mailbox_read(getpid(), &mailbox, NULL));
	return mailbox.multicasts;
}

static void multicast(void)
{
	const CUmulticastObjectProp prop = {.numDevices = 1, .size = 8 * MIB};
	CUmemGenericAllocationHandle mc, moving = create(0);
	const CUdeviceptr at = reserve();

	map(at, moving);
	fill(at, 2 * MIB, 4);
	CHECK(nr_multicasts() == 0);
	OK(cuMulticastCreate(&mc, &prop));
	CHECK(nr_multicasts() == 1);
	OK(cuMulticastAddDevice(mc, 0));
	for (int way = 0; way < 4; way++) {
		CUmemGenericAllocationHandle bound = create(0);
		const CUdeviceptr where = reserve();

		map(where, bound);
		if (way == 0)
			OK(cuMulticastBindMem(mc, 0, bound, 0, 2 * MIB, 0));
		else if (way == 1)
			OK(cuMulticastBindMem_v2(mc, 0, 2 * MIB, bound, 0, 2 * MIB, 0));
		else if (way == 2)
			OK(cuMulticastBindAddr(mc, 4 * MIB, where, 2 * MIB, 0));
		else
			OK(cuMulticastBindAddr_v2(mc, 0, 6 * MIB, where, 2 * MIB, 0));
		check_excluded(at, where);
		OK(cuMemUnmap(where, 2 * MIB));
		OK(cuMemRelease(bound));
		OK(cuMemAddressFree(where, 2 * MIB));
	}
	/* A call that fails excludes nothing. */
	FAILS(cuMulticastBindMem_v2(mc, 0, 8 * MIB, moving, 0, 2 * MIB, 0),
	      CUDA_ERROR_INVALID_VALUE);
	FAILS(cuMulticastBindMem_v2(mc, 9, 0, moving, 0, 2 * MIB, 0), CUDA_ERROR_INVALID_DEVICE);
	CHECK(pool_evict(10000, ABORT_AFTER_END).nr_handles == 1);
	OK(cuMemRelease(mc));
	CHECK(nr_multicasts() == 0);
	FAILS(cuMemRelease(mc), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemUnmap(at, 2 * MIB));
	OK(cuMemRelease(moving));
	OK(cuMemAddressFree(at, 2 * MIB));
}

static bool numbers_are(uint64_t imports, uint64_t exports)
{
	struct ccr_mailbox mailbox;

	CHECK(!ccr_mailbox_read(getpid(), &mailbox, NULL));
	if (mailbox.imports != imports || mailbox.exports != exports)
		fprintf(stderr, "%llu imports, %llu exports\n", (unsigned long long)mailbox.imports,
			(unsigned long long)mailbox.exports);
	return mailbox.imports == imports && mailbox.exports == exports;
}

/* An import lasts as long as the program has its handle or a mapping of it. */
static void descriptors(void)
{
	const CUmemAllocationHandleType type = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	CUmemGenericAllocationHandle own = create(type), one, two, again;
	const CUdeviceptr at = reserve();
	int fd;

	CHECK(numbers_are(0, 0));
	OK(cuMemExportToShareableHandle(&fd, own, type, 0));
	CHECK(numbers_are(0, 1));
	OK(cuMemImportFromShareableHandle(&one, (void *)(intptr_t)fd, type));
	OK(cuMemImportFromShareableHandle(&two, (void *)(intptr_t)fd, type));
	FAILS(cuMemImportFromShareableHandle(&again, (void *)(intptr_t)0, type),
	      CUDA_ERROR_INVALID_VALUE);
	close(fd);
	CHECK(numbers_are(2, 1));
	OK(cuMemRelease(two));
	CHECK(numbers_are(1, 1));
	map(at, one);
	OK(cuMemRelease(one));
	CHECK(numbers_are(1, 1));
	OK(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)at));
	OK(cuMemUnmap(at, 2 * MIB));
	CHECK(numbers_are(again == one, 1));
	OK(cuMemRelease(again));
	CHECK(numbers_are(0, 1));
	OK(cuMemRelease(own));
	CHECK(numbers_are(0, 0));
	OK(cuMemAddressFree(at, 2 * MIB));
}

/* The other process: exports a small allocation until its input ends. */
static void export_memory(void)
{
	CUipcMemHandle handle;
	CUdeviceptr at;
	char byte;

	test_cuda_begin();
	OK(cuMemAlloc_v2(&at, 4096));
	fill(at, 4096, 77);
	OK(cuIpcGetMemHandle(&handle, at));
	CHECK(numbers_are(0, 1));
	OK(cuIpcGetMemHandle(&handle, at));
	CHECK(numbers_are(0, 1));
	CHECK(write(STDOUT_FILENO, &handle, sizeof(handle)) == sizeof(handle));
	CHECK(!read(STDIN_FILENO, &byte, 1));
	OK(cuMemFree_v2(at));
	CHECK(numbers_are(0, 0));
	exit(0);
}

static void ipc(const char *program)
{
	char *argv[] = {(char *)program, "--export", NULL};
	posix_spawn_file_actions_t actions;
	int input[2], output[2], status;
	CUipcMemHandle handle;
	CUdeviceptr at, twice;
	pid_t other;

	CHECK(!pipe2(input, O_CLOEXEC) && !pipe2(output, O_CLOEXEC));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
	CHECK(!posix_spawn(&other, "/proc/self/exe", &actions, NULL, argv, environ));
	posix_spawn_file_actions_destroy(&actions);
	close(input[0]);
	close(output[1]);
	CHECK(read(output[0], &handle, sizeof(handle)) == sizeof(handle));
	OK(cuIpcOpenMemHandle_v2(&at, handle, 0));
	CHECK(numbers_are(1, 0));
	CHECK(holds(at, 4096, 77));
	OK(cuIpcOpenMemHandle_v2(&twice, handle, 0));
	CHECK(numbers_are(twice == at ? 1 : 2, 0));
	OK(cuIpcCloseMemHandle(twice));
	FAILS(cuIpcCloseMemHandle(at + 8 * MIB), CUDA_ERROR_INVALID_VALUE);
	CHECK(numbers_are(1, 0));
	OK(cuIpcCloseMemHandle(at));
	CHECK(numbers_are(0, 0));
	close(input[1]);
	close(output[0]);
	CHECK(waitpid(other, &status, 0) == other && !status);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--export"))
		export_memory();
	test_begin(argc, argv);
	test_cuda_begin();
	multicast();
	descriptors();
	ipc(argv[0]);
	return 0;
}
