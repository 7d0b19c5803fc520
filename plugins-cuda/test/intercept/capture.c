// SPDX-License-Identifier: MIT
/*
 * Description: while a stream is being captured, an evict is refused and leaves
 * the capture as it is. A capture ends with its stream, its context or its thread
 * as well; then memory is moved again, and what was freed meanwhile is free.
 */
#include "test/intercept/intercept_test.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol/mailbox.h"

static uint64_t captures(void)
{
	struct ccr_mailbox mailbox;

	CHECK(!ccr_mailbox_read(getpid(), &mailbox, NULL));
	return mailbox.captures;
}

static size_t free_bytes(void)
{
	size_t free, total;

	OK(cuMemGetInfo_v2(&free, &total));
	return free;
}

static void refused(void)
{
	const struct pool_reply r = pool_evict(100, BREAK_NEVER);

	CHECK(r.error == -ETIMEDOUT && strstr(r.text, "a stream is being captured"));
}

static void moved(CUdeviceptr at, uint32_t seed)
{
	struct pool_reply r = pool_evict(10000, BREAK_NEVER);

	CHECK(!r.error && r.nr_handles == 1);
	pool_commit();
	r = pool_attach(CCR_ATTACH_ADOPT, SOURCE_IMAGE, BREAK_NEVER);
	CHECK(!r.error);
	CHECK(holds(at, 4 * MIB, seed));
}

/* Begins a capture on a new stream of the current context. */
static CUstream begin(void)
{
	CUstream stream;

	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuStreamBeginCapture_v2(stream, 0));
	return stream;
}

static void ended_by_call(CUdeviceptr kept)
{
	CUstream stream = begin();
	CUstreamCaptureStatus status;
	CUgraph graph;

	FAILS(cuStreamBeginCapture_v2(stream, 0), CUDA_ERROR_ILLEGAL_STATE);
	FAILS(cuStreamBeginCapture_v2(CU_STREAM_LEGACY, 0), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	CHECK(captures() == 1);
	refused();
	OK(cuStreamIsCapturing(stream, &status));
	CHECK(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
	OK(cuStreamEndCapture(stream, &graph));
	CHECK(!captures());
	FAILS(cuStreamEndCapture(stream, &graph), CUDA_ERROR_ILLEGAL_STATE);
	CHECK(!captures());
	OK(cuStreamDestroy_v2(stream));
	moved(kept, 1);
}

static void ended_by_stream(CUdeviceptr kept)
{
	const size_t before = free_bytes();
	CUstream one, two;
	CUdeviceptr freed, after;

	OK(cuMemAlloc_v2(&freed, 64 * MIB));
	one = begin();
	two = begin();
	CHECK(captures() == 2);
	OK(cuMemFree_v2(freed));
	OK(cuStreamDestroy_v2(one));
	CHECK(captures() == 1);
	FAILS(cuStreamDestroy_v2(one), CUDA_ERROR_INVALID_HANDLE);
	CHECK(captures() == 1);
	refused();
	OK(cuStreamDestroy_v2(two));
	CHECK(!captures());
	moved(kept, 1);
	/* The memory that was freed during the captures is free. */
	OK(cuMemAlloc_v2(&after, 2 * MIB));
	OK(cuMemFree_v2(after));
	CHECK(free_bytes() == before);
}

static void ended_by_context(CUdeviceptr kept)
{
	CUstream other = begin();
	CUcontext ctx;
	CUgraph graph;

	OK(cuCtxCreate_v2(&ctx, 0, 0));
	begin();
	begin();
	CHECK(captures() == 3);
	OK(cuCtxDestroy_v2(ctx));
	CHECK(captures() == 1);
	refused();
	OK(cuCtxSetCurrent(test_context(0)));
	OK(cuStreamEndCapture(other, &graph));
	CHECK(!captures());
	moved(kept, 1);
}

static void *capture_own(void *ctx)
{
	OK(cuCtxSetCurrent(ctx));
	OK(cuStreamBeginCapture_v2(CU_STREAM_PER_THREAD, 2));
	CHECK(captures() == 1);
	return NULL;
}

static void ended_by_thread(CUdeviceptr kept)
{
	pthread_t thread;
	CUgraph graph;

	CHECK(!pthread_create(&thread, NULL, capture_own, test_context(0)));
	CHECK(!pthread_join(thread, NULL));
	moved(kept, 1);
	CHECK(!captures());
	/* The same handle is another stream in this thread. */
	OK(cuStreamBeginCapture_v2(CU_STREAM_PER_THREAD, 2));
	CHECK(captures() == 1);
	OK(cuStreamEndCapture(CU_STREAM_PER_THREAD, &graph));
	CHECK(!captures());
}

static void ended_by_reset(void)
{
	begin();
	CHECK(captures() == 1);
	OK(cuDevicePrimaryCtxReset_v2(0));
	CHECK(!captures());
}

int main(int argc, char **argv)
{
	CUdeviceptr kept;

	test_begin(argc, argv);
	test_cuda_begin();
	OK(cuMemAlloc_v2(&kept, 4 * MIB));
	fill(kept, 4 * MIB, 1);
	ended_by_call(kept);
	ended_by_stream(kept);
	ended_by_context(kept);
	ended_by_thread(kept);
	ended_by_reset();
	return 0;
}
