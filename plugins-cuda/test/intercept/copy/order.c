// SPDX-License-Identifier: MIT
/*
 * Description: large copies keep their order among the work of streams: after
 * earlier and before later work, according to the rules of legacy and
 * per-thread default streams. Also concurrent callers, evicts during copies,
 * and a forked child.
 */
#include "test/intercept/copy/copy_test.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/protocol/mailbox.h"

#define BYTES (9 * MIB + 12)

CUresult cuMemcpyHtoD_v2_ptds(CUdeviceptr dst, const void *src, size_t bytes);
CUresult cuLaunchHostFunc_ptsz(CUstream stream, CUhostFn fn, void *data);

static CUdeviceptr a, b;
static char *host, *back;

static bool device_has(CUdeviceptr at, uint32_t seed)
{
	return has_pattern((const char *)(uintptr_t)at, BYTES, seed);
}

static void sleep_until(const struct timespec *until)
{
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL) == EINTR)
		;
}

/* Blocks its stream for a moment and watches `a`, so that it detects a copy that does not wait. */
static void hold(void *unused)
{
	const char *const bytes = (const char *)(uintptr_t)a;
	struct timespec until;

	(void)unused;
	clock_gettime(CLOCK_MONOTONIC, &until);
	for (int i = 0; i < 10; i++) {
		until.tv_nsec += 5000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		sleep_until(&until);
		CHECK(has_pattern(bytes, 4096, 1));
	}
}

static void wait_for_post(void *semaphore)
{
	while (sem_wait(semaphore))
		;
}

static void start_with(uint32_t old, uint32_t new)
{
	OK(cuCtxSynchronize());
	pattern(back, BYTES, old);
	OK(cuMemcpyHtoD_v2(a, back, BYTES));
	OK(cuMemsetD8_v2(b, 0, BYTES));
	OK(cuCtxSynchronize());
	pattern(host, BYTES, new);
}

/* Queues work in `before` and then a copy in `stream`, which must wait for it. */
static void comes_after(CUstream before, CUstream stream, bool is_async)
{
	start_with(1, 2);
	OK(cuLaunchHostFunc(before, hold, NULL));
	OK(cuMemcpyDtoDAsync_v2(b, a, BYTES, before));
	if (is_async)
		OK(cuMemcpyHtoDAsync_v2(a, host, BYTES, stream));
	else if (stream == CU_STREAM_PER_THREAD)
		OK(cuMemcpyHtoD_v2_ptds(a, host, BYTES));
	else
		OK(cuMemcpyHtoD_v2(a, host, BYTES));
	memset(host, 0, BYTES);
	OK(cuCtxSynchronize());
	CHECK(device_has(b, 1));
	CHECK(device_has(a, 2));
}

static void earlier_work(void)
{
	CUstream blocking, free_running;

	OK(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
	OK(cuStreamCreate(&free_running, CU_STREAM_NON_BLOCKING));
	comes_after(blocking, blocking, true);
	comes_after(free_running, free_running, true);
	comes_after(NULL, NULL, true);
	comes_after(NULL, NULL, false);
	/* The legacy stream waits for all blocking streams, and they wait for it. */
	comes_after(blocking, NULL, false);
	comes_after(blocking, CU_STREAM_LEGACY, true);
	comes_after(NULL, blocking, true);
	comes_after(NULL, CU_STREAM_PER_THREAD, false);
	comes_after(CU_STREAM_PER_THREAD, NULL, false);
	OK(cuStreamDestroy_v2(blocking));
	OK(cuStreamDestroy_v2(free_running));
}

/* A copy does not wait for unrelated work, which here ends only after the copy. */
static void unrelated_work(void)
{
	static const unsigned int flags[] = {CU_STREAM_DEFAULT, CU_STREAM_NON_BLOCKING};
	CUstream held, stream;
	sem_t semaphore;

	CHECK(!sem_init(&semaphore, 0, 0));
	for (int i = 0; i < 2; i++) {
		OK(cuStreamCreate(&held, flags[i]));
		OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
		start_with(3, 4);
		OK(cuLaunchHostFunc(held, wait_for_post, &semaphore));
		OK(cuMemcpyHtoDAsync_v2(a, host, BYTES, stream));
		CHECK(device_has(a, 4));
		if (flags[i] == CU_STREAM_NON_BLOCKING)
			OK(cuMemcpyDtoH_v2(back, a, BYTES)); /* in the legacy stream */
		else
			OK(cuMemcpyDtoHAsync_v2(back, a, BYTES, CU_STREAM_PER_THREAD));
		CHECK(has_pattern(back, BYTES, 4));
		CHECK(!sem_post(&semaphore));
		OK(cuStreamDestroy_v2(held));
		OK(cuStreamDestroy_v2(stream));
		OK(cuCtxSynchronize());
	}
	sem_destroy(&semaphore);
}

/* Later work in the stream, and in other streams after an event, sees the bytes. */
static void later_work(void)
{
	CUstream first, second;
	CUevent event;

	OK(cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
	OK(cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
	OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
	for (uint32_t seed = 10; seed < 20; seed++) {
		pattern(host, BYTES, seed);
		OK(cuMemcpyHtoDAsync_v2(a, host, BYTES, first));
		memset(host, 0, BYTES);
		OK(cuEventRecord(event, first));
		OK(cuStreamWaitEvent(second, event, 0));
		OK(cuMemcpyDtoDAsync_v2(b, a, BYTES, second));
		OK(cuMemsetD8Async(a, 0, BYTES, second));
		memset(back, 0, BYTES);
		OK(cuMemcpyDtoHAsync_v2(back, b, BYTES, second));
		/* A copy to pageable memory is complete when the call returns. */
		CHECK(has_pattern(back, BYTES, seed));
		OK(cuEventRecord(event, second));
		OK(cuStreamWaitEvent(first, event, 0));
	}
	OK(cuEventDestroy_v2(event));
	OK(cuStreamDestroy_v2(first));
	OK(cuStreamDestroy_v2(second));
}

/* --- several callers --- */

#define NR_CALLERS 6

static atomic_bool stop;
static atomic_ulong rounds[NR_CALLERS];

static void *caller(void *argument)
{
	const uint32_t index = (uintptr_t)argument;
	const size_t bytes = MIB - 3 + index * MIB;
	char *mine = malloc(bytes), *home = malloc(bytes);
	CUstream stream;
	CUdeviceptr at;

	CHECK(mine && home);
	OK(cuCtxSetCurrent(test_context(index % 2)));
	OK(cuMemAlloc_v2(&at, bytes));
	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	while (!atomic_load(&stop)) {
		const uint32_t seed = index << 20 | (atomic_load(&rounds[index]) & 0xfffff);

		pattern(mine, bytes, seed);
		OK(cuMemcpyHtoDAsync_v2(at, mine, bytes, stream));
		memset(mine, 0, bytes);
		memset(home, 0, bytes);
		OK(cuMemcpyDtoHAsync_v2(home, at, bytes, stream));
		CHECK(has_pattern(home, bytes, seed));
		atomic_fetch_add(&rounds[index], 1);
	}
	OK(cuStreamDestroy_v2(stream));
	OK(cuMemFree_v2(at));
	free(mine);
	free(home);
	return NULL;
}

/* Memory is evicted and attached while they copy. In between, we keep no threads and buffers. */
static void evicts_among_callers(void)
{
	pthread_t threads[NR_CALLERS];

	for (uintptr_t i = 0; i < NR_CALLERS; i++)
		CHECK(!pthread_create(&threads[i], NULL, caller, (void *)i));
	for (int i = 0; i < 12; i++) {
		const unsigned long seen = atomic_load(&rounds[i % NR_CALLERS]);

		while (atomic_load(&rounds[i % NR_CALLERS]) < seen + 3)
			sched_yield();
		copy_threads_release();
	}
	atomic_store(&stop, true);
	for (int i = 0; i < NR_CALLERS; i++)
		pthread_join(threads[i], NULL);
}

/* --- an evict in the middle --- */

static sem_t held;

static void *copy_behind(void *stream)
{
	OK(cuCtxSetCurrent(test_context(0)));
	OK(cuMemcpyHtoDAsync_v2(a, host, BYTES, stream));
	CHECK(device_has(a, 22));
	return NULL;
}

static void evict_in_the_middle(void)
{
	struct pool_reply r;
	pthread_t thread;
	CUstream stream;

	CHECK(!sem_init(&held, 0, 0));
	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	start_with(21, 22);
	OK(cuLaunchHostFunc(stream, wait_for_post, &held));
	CHECK(!pthread_create(&thread, NULL, copy_behind, stream));
	/* In any state of the copy, the evict gives up and no byte is lost. */
	r = pool_evict(300, BREAK_NEVER);
	CHECK(r.last_type == CCR_MSG_FAILED && r.error == -ETIMEDOUT);
	CHECK(device_has(a, 21));
	CHECK(!sem_post(&held));
	pthread_join(thread, NULL);
	copy_threads_release();
	CHECK(device_has(a, 22));
	OK(cuStreamDestroy_v2(stream));
	sem_destroy(&held);
}

/* --- fork --- */

static void forked_child(void)
{
	int status;
	pid_t child;

	start_with(31, 32);
	CHECK(copy_threads() > 0);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		/*
		 * The driver refuses, as without us. The copy must not wait for
		 * the parent's threads.
		 */
		if (cuMemcpyHtoD_v2(a, host, BYTES) == CUDA_SUCCESS)
			_exit(1);
		_exit(cuCtxDestroy_v2(test_context(0)) == CUDA_SUCCESS);
	}
	/* The parent's buffers are still registered with the device. */
	OK(cuMemcpyHtoD_v2(a, host, BYTES));
	memset(back, 0, BYTES);
	OK(cuMemcpyDtoH_v2(back, a, BYTES));
	CHECK(has_pattern(back, BYTES, 32));
	CHECK(waitpid(child, &status, 0) == child && !status);
}

/* Of memory that the driver pins, so that no restore may fill it later. */
static uint64_t registrations(void)
{
	struct ccr_mailbox mailbox;

	CHECK(!ccr_mailbox_read(getpid(), &mailbox, NULL));
	return mailbox.registrations;
}

int main(int argc, char **argv)
{
	setenv("SOFTCUDA_DEVICES", "2", 1);
	copy_settings();
	if (copy_unsupported())
		return 77;
	test_begin(argc, argv);
	test_cuda_begin();
	OK(cuMemAlloc_v2(&a, BYTES));
	OK(cuMemAlloc_v2(&b, BYTES));
	host = malloc(BYTES);
	back = malloc(BYTES);
	CHECK(host && back);
	start_with(1, 1);
	CHECK(copy_threads() > 0 && registrations() > 0);
	earlier_work();
	unrelated_work();
	later_work();
	CHECK(copy_threads() > 0);
	evicts_among_callers();
	evict_in_the_middle();
	CHECK(!registrations());
	forked_child();
	free(host);
	free(back);
	return 0;
}
