// SPDX-License-Identifier: MIT
/*
 * Description: legacy CUDA IPC of large memory between processes: what a handle names, several
 * openings and openers, another device, the driver's errors, processes without the interceptor,
 * forks, memory that is freed, processes that end, and a handle that is older than a restore.
 */
#include "test/intercept/ipc_other.h"
#include "common/protocol/mailbox.h"

#include <string.h>
#include <unistd.h>

static struct answer open_in(const struct other_process *other, CUipcMemHandle handle)
{
	return other_tell(other, (struct command){.what = OPEN, .handle = handle, .flags = LAZY});
}

static CUdeviceptr opened(const struct other_process *other, CUipcMemHandle handle)
{
	const struct answer a = open_in(other, handle);

	OK(a.result);
	return a.at;
}

static CUresult closed(const struct other_process *other, CUdeviceptr at)
{
	return other_tell(other, (struct command){.what = CLOSE, .at = at}).result;
}

static bool sees(const struct other_process *other, CUdeviceptr at, unsigned int seed)
{
	return other_tell(other, (struct command){.what = HOLDS, .at = at, .seed = seed}).holds;
}

static bool has_imports(const struct other_process *other, uint64_t nr)
{
	const struct answer a = other_tell(other, (struct command){.what = NUMBERS});

	return a.imports == nr && a.kept_imports == nr;
}

static bool has_exports(uint64_t nr)
{
	struct ccr_mailbox mailbox;

	CHECK(!ccr_mailbox_read(getpid(), &mailbox, NULL));
	return mailbox.exports == nr && mailbox.kept_exports == nr;
}

/* --- the tests; this process has the memory --- */

static CUdeviceptr alloc(unsigned int seed, CUipcMemHandle *handle)
{
	CUdeviceptr at;

	OK(cuMemAlloc_v2(&at, BYTES));
	fill(at, BYTES, seed);
	OK(cuIpcGetMemHandle(handle, at));
	return at;
}

static void what_a_handle_names(const struct other_process *other)
{
	CUipcMemHandle handle, inside, none;
	CUdeviceptr at = alloc(1, &handle), theirs, unused;
	struct answer a;

	CHECK(has_exports(1));
	/* As the driver's: of the allocation, wherever in it the address was. */
	OK(cuIpcGetMemHandle(&inside, at + 3 * MIB));
	CHECK(!memcmp(&inside, &handle, sizeof(handle)) && has_exports(1));
	FAILS(cuIpcGetMemHandle(&none, at + BYTES), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuIpcGetMemHandle(NULL, at), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuIpcOpenMemHandle_v2(&unused, handle, LAZY), CUDA_ERROR_INVALID_CONTEXT);
	theirs = opened(other, handle);
	CHECK(sees(other, theirs, 1) && has_imports(other, 1));
	a = other_tell(other, (struct command){.what = RANGE, .at = theirs});
	CHECK(a.at == theirs && a.size == BYTES);
	other_tell(other, (struct command){.what = FILL, .at = theirs, .seed = 2});
	CHECK(holds(at, BYTES, 2));
	a = other_tell(other, (struct command){.what = FREE, .at = theirs});
	FAILS(a.result, CUDA_ERROR_INVALID_VALUE);
	a = other_tell(other, (struct command){.what = GET, .at = theirs});
	FAILS(a.result, CUDA_ERROR_INVALID_VALUE);
	/* It is counted, and mapped once. */
	CHECK(opened(other, handle) == theirs && has_imports(other, 1));
	OK(closed(other, theirs));
	CHECK(sees(other, theirs, 2) && has_imports(other, 1));
	FAILS(closed(other, theirs + 2 * MIB), CUDA_ERROR_INVALID_VALUE);
	OK(closed(other, theirs));
	CHECK(has_imports(other, 0));
	FAILS(closed(other, theirs), CUDA_ERROR_INVALID_VALUE);
	a = other_tell(other, (struct command){.what = OPEN, .handle = handle, .flags = 2});
	FAILS(a.result, CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFree_v2(at));
	CHECK(has_exports(0));
	FAILS(open_in(other, handle).result, CUDA_ERROR_INVALID_VALUE);
}

static void several_openers(const char *program)
{
	struct other_process others[3];
	CUdeviceptr theirs[3];
	CUipcMemHandle handle;
	const CUdeviceptr at = alloc(1, &handle);

	for (int i = 0; i < 3; i++) {
		others[i] = other_process_start(program, false);
		theirs[i] = opened(&others[i], handle);
	}
	for (int i = 0; i < 3; i++) {
		other_tell(&others[i],
			   (struct command){.what = FILL, .at = theirs[i], .seed = 10 + i});
		CHECK(holds(at, BYTES, 10 + i) &&
		      sees(&others[(i + 1) % 3], theirs[(i + 1) % 3], 10 + i));
	}
	OK(closed(&others[0], theirs[0]));
	other_process_end(&others[1], 0);
	/* Freed memory stays as long as somebody has it open. */
	OK(cuMemFree_v2(at));
	CHECK(sees(&others[2], theirs[2], 12));
	other_process_end(&others[0], 0);
	other_process_end(&others[2], 0);
}

static void of_another_device(const struct other_process *other)
{
	CUipcMemHandle handle;
	const CUdeviceptr at = alloc(1, &handle);
	struct command open = {.what = OPEN, .handle = handle, .device = 1};
	struct answer a = other_tell(other, open);
	CUdeviceptr theirs;

	FAILS(a.result, CUDA_ERROR_INVALID_DEVICE);
	CHECK(has_imports(other, 0));
	open.flags = LAZY;
	a = other_tell(other, open);
	OK(a.result);
	theirs = a.at;
	/* Kernels there may use it. */
	OK(other_tell(other, (struct command){.what = KERNEL, .at = theirs, .device = 1}).result);
	CHECK(!holds(at, BYTES, 1));
	/* A context of the other device has a mapping of its own. */
	a = open_in(other, handle);
	OK(a.result);
	CHECK(a.at != theirs && has_imports(other, 2));
	OK(closed(other, a.at));
	OK(other_tell(other, (struct command){.what = CLOSE, .at = theirs, .device = 1}).result);
	CHECK(has_imports(other, 0));
	OK(cuMemFree_v2(at));
}

/* Each side's handles mean nothing to a process of the other kind, or are the driver's. */
static void without_the_interceptor(const char *program)
{
	struct other_process plain = other_process_start(program, true);
	CUipcMemHandle handle;
	const CUdeviceptr at = alloc(1, &handle);
	struct answer a = open_in(&plain, handle);
	CUdeviceptr theirs;

	FAILS(a.result, CUDA_ERROR_INVALID_VALUE);
	a = other_tell(&plain, (struct command){.what = GET, .seed = 4});
	OK(a.result);
	OK(cuIpcOpenMemHandle_v2(&theirs, a.handle, LAZY));
	CHECK(holds(theirs, BYTES, 4));
	OK(cuIpcCloseMemHandle(theirs));
	other_process_end(&plain, 0);
	OK(cuMemFree_v2(at));
}

static void forks(const struct other_process *other)
{
	CUipcMemHandle handle;
	const CUdeviceptr at = alloc(1, &handle);
	CUdeviceptr theirs;

	/* The child of neither takes anything away when it ends. */
	fork_and_end();
	theirs = opened(other, handle);
	other_tell(other, (struct command){.what = FORK});
	CHECK(sees(other, theirs, 1) && has_imports(other, 1) && has_exports(1));
	OK(closed(other, theirs));
	theirs = opened(other, handle);
	OK(cuMemFree_v2(at));
	OK(closed(other, theirs));
}

static void the_exporter_ends(const char *program)
{
	struct other_process exporter = other_process_start(program, false);
	const struct answer a = other_tell(&exporter, (struct command){.what = GET, .seed = 6});
	CUdeviceptr theirs, again;

	OK(a.result);
	OK(cuIpcOpenMemHandle_v2(&theirs, a.handle, LAZY));
	other_process_end(&exporter, 0);
	CHECK(holds(theirs, BYTES, 6));
	OK(cuIpcCloseMemHandle(theirs));
	FAILS(cuIpcOpenMemHandle_v2(&again, a.handle, LAZY), CUDA_ERROR_INVALID_VALUE);
}

/* Handles that are on their way while the process is dumped and restored. */
static void a_handle_outlives_a_restore(const struct other_process *other)
{
	CUipcMemHandle handle, later;
	const CUdeviceptr at = alloc(7, &handle);
	CUdeviceptr theirs, second;
	struct pool_reply r = pool_evict(10000, BREAK_NEVER);

	CHECK(!r.error && r.nr_handles == 1);
	pool_commit();
	/* Mapped memory of the pool could not be shared later: it is adopted. */
	r = pool_attach(CCR_ATTACH_AUTO, SOURCE_IMAGE, BREAK_NEVER);
	CHECK(!r.error);
	CHECK(holds(at, BYTES, 7) && has_exports(1));
	theirs = opened(other, handle);
	CHECK(sees(other, theirs, 7));
	OK(cuIpcGetMemHandle(&later, at));
	CHECK(!memcmp(&later, &handle, sizeof(handle)));
	OK(closed(other, theirs));
	second = alloc(8, &later);
	theirs = opened(other, later);
	CHECK(sees(other, theirs, 8));
	OK(closed(other, theirs));
	OK(cuMemFree_v2(second));
	OK(cuMemFree_v2(at));
}

int main(int argc, char **argv)
{
	struct other_process other;

	setenv("SOFTCUDA_DEVICES", "2", 1);
	if (argc == 2 && !strcmp(argv[1], "--serve"))
		other_serve();
	test_begin(argc, argv);
	test_cuda_begin();
	other = other_process_start(argv[0], false);
	what_a_handle_names(&other);
	several_openers(argv[0]);
	of_another_device(&other);
	without_the_interceptor(argv[0]);
	forks(&other);
	the_exporter_ends(argv[0]);
	a_handle_outlives_a_restore(&other);
	other_process_end(&other, 0);
	return 0;
}
