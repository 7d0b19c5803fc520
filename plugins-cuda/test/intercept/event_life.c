// SPDX-License-Identifier: MIT
/*
 * Description: events that processes share by CUDA IPC: the driver's errors; captures, forks and
 * contexts that end; a process without the interceptor, and one that gives a file that it could cut
 * off; and what a dump leaves of them.
 */
#include "test/intercept/event_other.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE_BYTES 65536
#define ADD_SEALS  1033
#define SEALS	   (1 | 2 | 4) /* against more of them, and against both changes of the size */

static void errors(const struct other_process *other)
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

/* The other opens a handle for which the second keeper of this process gives the file. */
static CUresult open_given(const struct other_process *other, CUipcEventHandle handle, int file)
{
	const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	const int length = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1,
				    "criu-cuda-keep/%d/1", getpid());
	char token[16], control[CMSG_SPACE(sizeof(file))] __attribute__((aligned(8)));
	struct iovec iov = {token, 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	int socket;

	CHECK(!bind(listener, (struct sockaddr *)&name,
		    offsetof(struct sockaddr_un, sun_path) + 1 + length));
	CHECK(!listen(listener, 1));
	side_begin(other, TASK(OPEN, .event = 0, .handle = handle));
	socket = accept(listener, NULL, NULL);
	CHECK(recv(socket, token, sizeof(token), 0) == sizeof(token));
	memset(control, 0, sizeof(control));
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(file));
	memcpy(CMSG_DATA(head), &file, sizeof(file));
	CHECK(sendmsg(socket, &message, 0) == 1);
	close(socket);
	close(listener);
	return side_take(other).result;
}

/* A file that becomes shorter while it is mapped would kill a process that looks at an event. */
static void another_file(const struct other_process *other)
{
	CUipcEventHandle handle;
	CUevent event;
	const int memory = syscall(SYS_memfd_create, "event-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	FILE *plain = tmpfile();

	CHECK(plain && !ftruncate(fileno(plain), PAGE_BYTES) && !ftruncate(memory, PAGE_BYTES));
	OK(cuEventCreate(&event, SHARED));
	OK(cuIpcGetEventHandle(&handle, event));
	handle.reserved[20] ^= 1; /* the token: the keeper of this process does not know it */
	FAILS(open_given(other, handle, fileno(plain)), CUDA_ERROR_MAP_FAILED);
	FAILS(open_given(other, handle, memory), CUDA_ERROR_MAP_FAILED);
	CHECK(counts(other, 0, 0));
	CHECK(!fcntl(memory, ADD_SEALS, SEALS));
	OK(open_given(other, handle, memory));
	OK(DO(other, DESTROY, .event = 0));
	OK(cuEventDestroy_v2(event));
	fclose(plain);
	close(memory);
}

/* A graph would make the same record at each launch. */
static void in_a_graph(void)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_EVENT_RECORD};
	CUevent shared, plain;
	CUgraphNode node;

	OK(cuEventCreate(&plain, CU_EVENT_DISABLE_TIMING));
	OK(cuEventCreate(&shared, SHARED));
	OK(cuGraphAddEventRecordNode(&node, NULL, NULL, 0, plain));
	OK(cuGraphAddEventWaitNode(&node, NULL, NULL, 0, plain));
	FAILS(cuGraphAddEventRecordNode(&node, NULL, NULL, 0, shared), CUDA_ERROR_NOT_SUPPORTED);
	FAILS(cuGraphAddEventWaitNode(&node, NULL, NULL, 0, shared), CUDA_ERROR_NOT_SUPPORTED);
	for (int type = CU_GRAPH_NODE_TYPE_WAIT_EVENT; type <= CU_GRAPH_NODE_TYPE_EVENT_RECORD;
	     type++) {
		params.type = type;
		params.event = plain;
		OK(cuGraphAddNode(&node, NULL, NULL, 0, &params));
		params.event = shared;
		FAILS(cuGraphAddNode(&node, NULL, NULL, 0, &params), CUDA_ERROR_NOT_SUPPORTED);
	}
	OK(cuEventDestroy_v2(plain));
	OK(cuEventDestroy_v2(shared));
}

static void in_a_capture(const struct other_process *other)
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

static void forks(const struct other_process *other)
{
	share(&self, other, 0);
	OK(DO(&self, FORK));
	OK(DO(other, FORK));
	CHECK(counts(&self, 0, 1) && counts(other, 1, 0));
	one_waits(&self, other, 2);
	drop(&self, other, 0);
}

static void a_context_ends(const struct other_process *other)
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
	struct other_process plain = other_process_start(program, true);
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

/* The events of a device without 64-bit words are the driver's, and counted. */
static void without_words(const char *program)
{
	struct other_process side;

	setenv("SOFTCUDA_FAIL", "cuDeviceGetAttribute:1:801", 1); /* not supported */
	side = other_process_start(program, false);
	unsetenv("SOFTCUDA_FAIL");
	OK(DO(&side, CREATE, .event = 0, .value = SHARED));
	OK(DO(&side, GET, .event = 0));
	CHECK(numbers(&side).ipc_events == 1 && !numbers(&side).event_pages);
	OK(DO(&side, RECORD, .event = 0, .stream = 2));
	OK(DO(&side, SYNC, .event = 0));
	side_end(&side);
}

/* The event is as before: the records that did not fail are waited for. */
static void a_record_fails(const char *program, const struct other_process *other)
{
	struct other_process side;

	setenv("SOFTCUDA_FAIL", "cuStreamWaitValue64_v2:2:1", 1); /* the first is that of HOLD */
	side = other_process_start(program, false);
	unsetenv("SOFTCUDA_FAIL");
	share(&side, other, 0);
	OK(DO(&side, HOLD, .stream = 2));
	for (int i = 0; i < 7; i++)
		OK(DO(&side, RECORD, .event = 0, .stream = 2));
	FAILS(DO(&side, RECORD, .event = 0, .stream = 2), CUDA_ERROR_INVALID_VALUE);
	FAILS(DO(other, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(&side, RELEASE, .stream = 2));
	OK(DO(&side, DRAIN, .stream = 2));
	OK(DO(other, QUERY, .event = 0));
	one_waits(&side, other, 2);
	drop(&side, other, 0);
	side_end(&side);
}

/* All pages are registered, before a call could do it while a stream is busy. */
static bool are_registered(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	bool are = true;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps)) {
		void *const at = (void *)(uintptr_t)strtoull(line, NULL, 16);
		unsigned int flags;

		if (strstr(line, "criu-cuda-events"))
			are &= cuMemHostGetFlags(&flags, at) == CUDA_SUCCESS;
	}
	fclose(maps);
	return are;
}

/* A dump takes the page away; a handle that is older works afterwards. */
static void a_dump(const struct other_process *other)
{
	CUipcEventHandle handle;
	CUdeviceptr memory;
	int before;

	OK(cuMemAlloc_v2(&memory, 4 * MIB));
	handle = share(&self, other, 0);
	one_waits(&self, other, 2);
	OK(DO(&self, EVICT, .evict_stop = BREAK_AFTER_HANDLES));
	OK(DO(&self, EVICT, .evict_stop = ABORT_AFTER_END));
	CHECK(are_registered());
	one_waits(&self, other, 2);
	one_waits(other, &self, 3);
	OK(DO(other, DESTROY, .event = 0));
	before = nr_mappings("criu-cuda-events");
	for (int round = 0; round < 2; round++) {
		OK(DO(&self, EVICT, .attach_stop = round ? BREAK_MIDWAY : BREAK_NEVER));
		CHECK(nr_mappings("criu-cuda-events") == before && are_registered());
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
	struct other_process other;

	if (argc == 2 && !strcmp(argv[1], "--serve"))
		side_serve();
	test_begin(argc, argv);
	test_cuda_begin();
	other = other_process_start(argv[0], false);
	errors(&other);
	another_file(&other);
	in_a_graph();
	in_a_capture(&other);
	forks(&other);
	a_context_ends(&other);
	without_the_interceptor(argv[0]);
	without_words(argv[0]);
	a_record_fails(argv[0], &other);
	a_dump(&other);
	side_end(&other);
	return 0;
}
