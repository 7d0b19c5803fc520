// SPDX-License-Identifier: MIT
/*
 * Description: events that processes share by CUDA IPC. What one records, another waits for, asks
 * about and sees complete; many events and records; the driver's errors; captures, forks, contexts
 * and processes that end; a process without the interceptor; and what a dump leaves of them.
 */
#include "test/intercept/event_other.h"

#include <string.h>
#include <unistd.h>

#define SHARED (CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING)

static const struct side self = {.to = -1};

#define TASK(what, ...)	    ((struct task){.step = what, ##__VA_ARGS__})
#define DO(side, what, ...) side_do(side, TASK(what, ##__VA_ARGS__)).result

static struct ccr_mailbox numbers(const struct side *side)
{
	return side_do(side, TASK(NUMBERS)).mailbox;
}

static bool counts(const struct side *side, uint64_t imports, uint64_t exports)
{
	const struct ccr_mailbox m = numbers(side);

	return m.event_imports == imports && m.event_exports == exports && !m.imports &&
	       !m.exports && !m.ipc_events;
}

/* How many mappings of the process have this in their line. */
static int nr_mappings(const char *text)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		nr += strstr(line, text) != NULL;
	fclose(maps);
	return nr;
}

/* A new event of the owner, which the other has open under the same number. */
static CUipcEventHandle share(const struct side *owner, const struct side *other,
			      unsigned int event)
{
	struct outcome o;

	OK(DO(owner, CREATE, .event = event, .value = SHARED));
	o = side_do(owner, TASK(GET, .event = event));
	OK(o.result);
	OK(DO(other, OPEN, .event = event, .handle = o.handle));
	return o.handle;
}

static void drop(const struct side *one, const struct side *two, unsigned int event)
{
	OK(DO(one, DESTROY, .event = event));
	OK(DO(two, DESTROY, .event = event));
}

/* One records on a stream that is held, and the other waits in every way. */
static void one_waits(const struct side *one, const struct side *two, unsigned int stream)
{
	OK(DO(one, HOLD, .stream = stream));
	OK(DO(one, RECORD, .event = 0, .stream = stream));
	FAILS(DO(one, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	FAILS(DO(two, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(two, AWAIT, .event = 0, .stream = stream));
	FAILS(DO(two, IS_DONE, .stream = stream), CUDA_ERROR_NOT_READY);
	if (two->to >= 0)
		side_begin(two, TASK(SYNC, .event = 0));
	OK(DO(one, RELEASE, .stream = stream));
	OK(two->to >= 0 ? side_take(two).result : DO(two, SYNC, .event = 0));
	OK(DO(two, QUERY, .event = 0));
	OK(DO(two, DRAIN, .stream = stream));
	OK(DO(one, SYNC, .event = 0));
	OK(DO(one, QUERY, .event = 0));
}

static void each_sees_the_other(const struct side *other)
{
	share(&self, other, 0);
	/* Never recorded. */
	OK(DO(other, QUERY, .event = 0));
	OK(DO(other, SYNC, .event = 0));
	OK(DO(other, AWAIT, .event = 0, .stream = 2));
	OK(DO(other, DRAIN, .stream = 2));
	for (unsigned int stream = 0; stream < 4; stream++) {
		one_waits(&self, other, stream);
		one_waits(other, &self, stream);
	}
	drop(&self, other, 0);
}

/* torch.multiprocessing records first. */
static void recorded_before_it_is_opened(const struct side *other)
{
	struct outcome o;

	OK(DO(&self, CREATE, .event = 0, .value = SHARED | CU_EVENT_BLOCKING_SYNC));
	OK(DO(&self, HOLD, .stream = 2));
	OK(DO(&self, RECORD, .event = 0, .stream = 2));
	o = side_do(&self, TASK(GET, .event = 0));
	/* Nor is it lost when its owner destroys it at once. */
	OK(DO(&self, DESTROY, .event = 0));
	OK(DO(other, OPEN, .event = 0, .handle = o.handle));
	OK(DO(other, AWAIT, .event = 0, .stream = 2));
	FAILS(DO(other, IS_DONE, .stream = 2), CUDA_ERROR_NOT_READY);
	FAILS(DO(other, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(other, DESTROY, .event = 0));
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, DRAIN, .stream = 2));
}

/* A wait is for the last record before it, whatever comes later. */
static void the_last_record_before(const struct side *other)
{
	share(&self, other, 0);
	OK(DO(other, HOLD, .stream = 2));
	OK(DO(other, RECORD, .event = 0, .stream = 2));
	OK(DO(&self, AWAIT, .event = 0, .stream = 3));
	OK(DO(&self, HOLD, .stream = 2));
	OK(DO(&self, RECORD, .event = 0, .stream = 2));
	OK(DO(other, AWAIT, .event = 0, .stream = 3));
	OK(DO(other, RELEASE, .stream = 2));
	OK(DO(&self, DRAIN, .stream = 3));
	FAILS(DO(other, IS_DONE, .stream = 3), CUDA_ERROR_NOT_READY);
	FAILS(DO(other, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, DRAIN, .stream = 3));
	/* The later record is complete, the earlier is not. */
	OK(DO(&self, HOLD, .stream = 2));
	OK(DO(&self, RECORD, .event = 0, .stream = 2));
	OK(DO(other, AWAIT, .event = 0, .stream = 2));
	OK(DO(&self, RECORD, .event = 0, .stream = 3));
	OK(DO(other, SYNC, .event = 0));
	OK(DO(other, AWAIT, .event = 0, .stream = 3));
	OK(DO(other, DRAIN, .stream = 3));
	FAILS(DO(other, IS_DONE, .stream = 2), CUDA_ERROR_NOT_READY);
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, DRAIN, .stream = 2));
	drop(&self, other, 0);
}

/* More than a slot has words, by both, and none completes before the first. */
static void many_records(const struct side *other)
{
	share(&self, other, 0);
	OK(DO(&self, HOLD, .stream = 2));
	for (int i = 0; i < 20; i++)
		OK(DO(i % 3 ? &self : other, RECORD, .event = 0, .stream = i % 3 ? 2 : 3));
	OK(DO(other, AWAIT, .event = 0, .stream = 2));
	FAILS(DO(other, IS_DONE, .stream = 2), CUDA_ERROR_NOT_READY);
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, DRAIN, .stream = 2));
	OK(DO(other, SYNC, .event = 0));
	drop(&self, other, 0);
}

/* torch has up to a thousand, and its consumer destroys none. */
static void many_events(const struct side *other)
{
	static CUevent events[2500];
	CUipcEventHandle handle;
	struct outcome o;

	for (int i = 0; i < 2500; i++) {
		OK(cuEventCreate(&events[i], SHARED));
		OK(cuEventRecord(events[i], NULL));
		OK(cuIpcGetEventHandle(&handle, events[i]));
	}
	CHECK(counts(&self, 0, 3));
	OK(DO(other, OPEN, .event = 0, .handle = handle));
	OK(DO(other, SYNC, .event = 0));
	CHECK(counts(other, 1, 0));
	OK(DO(other, DESTROY, .event = 0));
	for (int i = 0; i < 2500; i++)
		OK(cuEventDestroy_v2(events[i]));
	CHECK(counts(&self, 0, 0) && counts(other, 0, 0));
	/* Their slots are used again. */
	for (int i = 0; i < 5000; i++) {
		share(&self, other, 0);
		if (!(i % 1000))
			CHECK(counts(&self, 0, 1) && counts(other, 1, 0));
		drop(&self, other, 0);
	}
	CHECK(nr_mappings("criu-cuda-events") == 3);
	/* Also when what was recorded there last has not completed: it takes no other's place. */
	OK(DO(&self, HOLD, .stream = 2));
	for (int i = 0; i < 3000; i++) {
		OK(cuEventCreate(&events[0], SHARED));
		OK(cuEventRecord(events[0], CU_STREAM_PER_THREAD));
		OK(cuEventDestroy_v2(events[0]));
	}
	OK(DO(&self, CREATE, .event = 0, .value = SHARED));
	OK(DO(&self, RECORD, .event = 0, .stream = 2));
	o = side_do(&self, TASK(GET, .event = 0));
	OK(DO(&self, DESTROY, .event = 0));
	for (int i = 0; i < 4000; i++) {
		OK(cuEventCreate(&events[0], SHARED));
		OK(cuEventRecord(events[0], CU_STREAM_PER_THREAD));
		OK(cuEventDestroy_v2(events[0]));
	}
	OK(DO(other, OPEN, .event = 0, .handle = o.handle));
	FAILS(DO(other, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, SYNC, .event = 0));
	OK(DO(other, DESTROY, .event = 0));
}

static void several_openers(const char *program)
{
	struct side others[3];
	struct outcome o;

	OK(DO(&self, CREATE, .event = 0, .value = SHARED));
	o = side_do(&self, TASK(GET, .event = 0));
	for (int i = 0; i < 3; i++) {
		others[i] = side_start(program, false);
		OK(DO(&others[i], OPEN, .event = 0, .handle = o.handle));
		/* Each time another event, of the same records. */
		OK(DO(&others[i], OPEN, .event = 1, .handle = o.handle));
		CHECK(counts(&others[i], 1, 0));
	}
	OK(DO(&others[0], HOLD, .stream = 2));
	OK(DO(&others[0], RECORD, .event = 1, .stream = 2));
	FAILS(DO(&others[1], QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	FAILS(DO(&others[2], QUERY, .event = 1), CUDA_ERROR_NOT_READY);
	FAILS(DO(&self, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(&others[0], DESTROY, .event = 0));
	OK(DO(&others[0], RELEASE, .stream = 2));
	OK(DO(&others[2], SYNC, .event = 0));
	side_kill(&others[1]);
	one_waits(&self, &others[2], 2);
	side_end(&others[0]);
	/* Its owner goes first. */
	OK(DO(&self, DESTROY, .event = 0));
	OK(DO(&others[2], RECORD, .event = 0, .stream = 3));
	OK(DO(&others[2], SYNC, .event = 1));
	side_end(&others[2]);
}

static void errors(const struct side *other)
{
	CUipcEventHandle handle, garbage;
	float ms;
	CUevent event, plain;

	memset(&garbage, 7, sizeof(garbage));
	FAILS(cuEventCreate(&event, CU_EVENT_INTERPROCESS), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuEventCreate(&event, SHARED | 8), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuEventCreate(NULL, SHARED), CUDA_ERROR_INVALID_VALUE);
	OK(cuEventCreate(&plain, CU_EVENT_DISABLE_TIMING));
	FAILS(cuIpcGetEventHandle(&handle, plain), CUDA_ERROR_INVALID_HANDLE);
	OK(cuEventDestroy_v2(plain));
	OK(cuEventCreate(&event, SHARED));
	CHECK(counts(&self, 0, 0));
	FAILS(cuIpcGetEventHandle(NULL, event), CUDA_ERROR_INVALID_VALUE);
	OK(cuIpcGetEventHandle(&handle, event));
	OK(cuIpcGetEventHandle(&garbage, event));
	CHECK(!memcmp(&handle, &garbage, sizeof(handle)) && counts(&self, 0, 1));
	FAILS(cuIpcOpenEventHandle(&plain, handle), CUDA_ERROR_INVALID_CONTEXT);
	FAILS(cuIpcOpenEventHandle(NULL, handle), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuEventElapsedTime(&ms, event, event), CUDA_ERROR_INVALID_HANDLE);
	OK(DO(other, OPEN, .event = 0, .handle = handle));
	FAILS(DO(other, GET, .event = 0), CUDA_ERROR_INVALID_HANDLE);
	OK(DO(other, DESTROY, .event = 0));
	FAILS(DO(other, DESTROY, .event = 0), CUDA_ERROR_INVALID_HANDLE);
	CHECK(counts(other, 0, 0));
	memset(&garbage, 7, sizeof(garbage));
	FAILS(DO(other, OPEN, .event = 0, .handle = garbage), CUDA_ERROR_MAP_FAILED);
	garbage = handle;
	garbage.reserved[20] ^= 1; /* the token */
	FAILS(DO(other, OPEN, .event = 0, .handle = garbage), CUDA_ERROR_MAP_FAILED);
	garbage = handle;
	garbage.reserved[14] ^= 1; /* the slot */
	FAILS(DO(other, OPEN, .event = 0, .handle = garbage), CUDA_ERROR_MAP_FAILED);
	CHECK(counts(other, 0, 0));
	OK(cuEventDestroy_v2(event));
	CHECK(counts(&self, 0, 0));
}

static void in_a_capture(const struct side *other)
{
	CUevent event;
	CUstream stream;
	CUgraph graph;

	OK(cuEventCreate(&event, SHARED));
	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuStreamBeginCapture_v2(stream, 0));
	FAILS(cuEventRecord(event, stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	FAILS(cuStreamWaitEvent(stream, event, 0), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	/* CU_EVENT_WAIT_EXTERNAL: the driver can, we cannot. */
	FAILS(cuStreamWaitEvent(stream, event, 1), CUDA_ERROR_NOT_SUPPORTED);
	OK(cuStreamEndCapture(stream, &graph));
	OK(cuEventRecord(event, stream));
	OK(cuEventSynchronize(event));
	OK(cuEventDestroy_v2(event));
	OK(cuStreamDestroy_v2(stream));
	/* While another stream is captured, all is as always. */
	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuStreamBeginCapture_v2(stream, 0));
	share(&self, other, 0);
	one_waits(&self, other, 2);
	drop(&self, other, 0);
	OK(cuStreamEndCapture(stream, &graph));
	OK(cuStreamDestroy_v2(stream));
}

static void forks(const struct side *other)
{
	share(&self, other, 0);
	OK(DO(&self, FORK));
	OK(DO(other, FORK));
	CHECK(counts(&self, 0, 1) && counts(other, 1, 0));
	one_waits(&self, other, 2);
	drop(&self, other, 0);
}

static void a_context_ends(const struct side *other)
{
	CUcontext ctx, primary = test_context(0);
	CUipcEventHandle handle;
	CUevent event;

	OK(cuCtxCreate_v2(&ctx, 0, 0));
	for (int i = 0; i < 2; i++) {
		OK(cuEventCreate(&event, SHARED));
		OK(cuIpcGetEventHandle(&handle, event));
	}
	CHECK(counts(&self, 0, 1));
	OK(cuCtxDestroy_v2(ctx));
	OK(cuCtxSetCurrent(primary));
	CHECK(counts(&self, 0, 0));
	/* The page was registered there, perhaps. */
	share(&self, other, 0);
	one_waits(&self, other, 2);
	drop(&self, other, 0);
}

/* Its handles are the driver's, and it cannot open ours. */
static void without_the_interceptor(const char *program)
{
	struct side plain = side_start(program, true);
	struct outcome o;

	OK(DO(&self, CREATE, .event = 0, .value = SHARED));
	o = side_do(&self, TASK(GET, .event = 0));
	FAILS(DO(&plain, OPEN, .event = 0, .handle = o.handle), CUDA_ERROR_MAP_FAILED);
	OK(DO(&self, DESTROY, .event = 0));
	OK(DO(&plain, CREATE, .event = 0, .value = SHARED));
	o = side_do(&plain, TASK(GET, .event = 0));
	OK(DO(&self, OPEN, .event = 0, .handle = o.handle));
	CHECK(numbers(&self).ipc_events == 1);
	one_waits(&plain, &self, 2);
	OK(DO(&self, DESTROY, .event = 0));
	CHECK(counts(&self, 0, 0));
	side_end(&plain);
}

/* A dump takes the page away; a handle that is older works afterwards. */
static void a_dump(const struct side *other)
{
	CUipcEventHandle handle;
	CUdeviceptr memory;
	int before;

	OK(cuMemAlloc_v2(&memory, 4 * MIB));
	handle = share(&self, other, 0);
	one_waits(&self, other, 2);
	OK(DO(&self, EVICT, .evict_stop = BREAK_AFTER_HANDLES));
	OK(DO(&self, EVICT, .evict_stop = ABORT_AFTER_END));
	one_waits(&self, other, 2);
	one_waits(other, &self, 3);
	OK(DO(other, DESTROY, .event = 0));
	before = nr_mappings("criu-cuda-events");
	for (int round = 0; round < 2; round++) {
		OK(DO(&self, EVICT, .attach_stop = round ? BREAK_MIDWAY : BREAK_NEVER));
		CHECK(nr_mappings("criu-cuda-events") == before);
		CHECK(counts(&self, 0, 1));
		OK(DO(&self, QUERY, .event = 0));
		OK(DO(other, OPEN, .event = 0, .handle = handle));
		one_waits(&self, other, 2);
		one_waits(other, &self, 2);
		OK(DO(other, DESTROY, .event = 0));
	}
	OK(DO(&self, DESTROY, .event = 0));
	CHECK(counts(&self, 0, 0));
	OK(cuMemFree_v2(memory));
}

int main(int argc, char **argv)
{
	struct side other;

	if (argc == 2 && !strcmp(argv[1], "--serve"))
		side_serve();
	test_begin(argc, argv);
	test_cuda_begin();
	other = side_start(argv[0], false);
	each_sees_the_other(&other);
	recorded_before_it_is_opened(&other);
	the_last_record_before(&other);
	many_records(&other);
	many_events(&other);
	several_openers(argv[0]);
	errors(&other);
	in_a_capture(&other);
	forks(&other);
	a_context_ends(&other);
	without_the_interceptor(argv[0]);
	a_dump(&other);
	side_end(&other);
	return 0;
}
