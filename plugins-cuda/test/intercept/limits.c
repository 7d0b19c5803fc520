// SPDX-License-Identifier: MIT
/*
 * Description: when work does not end, calls do not return or file descriptors
 * are few, an evict is refused or waits, and the program continues.
 */
#include "test/descriptors.h"
#include "test/elapsed.h"
#include "test/intercept/intercept_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static bool has_begun, may_end;

static void announce(bool *flag)
{
	pthread_mutex_lock(&lock);
	*flag = true;
	pthread_cond_broadcast(&change);
	pthread_mutex_unlock(&lock);
}

static void await(const bool *flag)
{
	pthread_mutex_lock(&lock);
	while (!*flag)
		pthread_cond_wait(&change, &lock);
	pthread_mutex_unlock(&lock);
}

/* Runs in a stream, so earlier work has ended and later work has not started. */
static void hold(void *unused)
{
	announce(&has_begun);
	await(&may_end);
}

static struct pool_reply evict_in_time(uint32_t timeout_ms)
{
	struct timespec start;
	struct pool_reply r;

	clock_gettime(CLOCK_MONOTONIC, &start);
	r = pool_evict(timeout_ms, BREAK_NEVER);
	CHECK(ms_since(&start) >= timeout_ms && ms_since(&start) < timeout_ms + 10000);
	return r;
}

static void *synchronize(void *stream)
{
	OK(cuCtxSetCurrent(test_context(0)));
	OK(cuStreamSynchronize(stream));
	return NULL;
}

static void *alloc_and_free(void *unused)
{
	CUdeviceptr at;

	OK(cuCtxSetCurrent(test_context(0)));
	OK(cuMemAlloc_v2(&at, 4 * MIB));
	OK(cuMemFree_v2(at));
	return NULL;
}

static void work_that_does_not_end(void)
{
	CUdeviceptr at;
	CUstream stream;
	struct pool_reply r;
	pthread_t thread;

	has_begun = may_end = false;
	OK(cuMemAlloc_v2(&at, 4 * MIB));
	fill(at, 4 * MIB, 1);
	/* The legacy stream does not wait for this one, so waiting for that is not enough. */
	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuLaunchHostFunc(stream, hold, NULL));
	await(&has_begun);
	for (int i = 0; i < 2; i++) {
		r = evict_in_time(200);
		CHECK(r.error == -ETIMEDOUT && r.last_type == CCR_MSG_FAILED);
		CHECK(!strcmp(r.text, "work on a device does not end"));
		CHECK(holds(at, 4 * MIB, 1));
	}
	/* A call that waits for the stream does not return either. */
	CHECK(!pthread_create(&thread, NULL, synchronize, stream));
	do
		r = evict_in_time(200);
	while (strcmp(r.text, "a driver call does not return"));
	CHECK(r.error == -ETIMEDOUT && holds(at, 4 * MIB, 1));
	announce(&may_end);
	pthread_join(thread, NULL);
	r = pool_evict(10000, BREAK_NEVER);
	CHECK(!r.error && r.nr_handles == 1);
	CHECK(!pool_attach(CCR_ATTACH_ADOPT, SOURCE_IMAGE, BREAK_NEVER).error);
	CHECK(holds(at, 4 * MIB, 1));
	OK(cuMemFree_v2(at));
	OK(cuStreamDestroy_v2(stream));
}

static char state_of(pid_t tid)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "re");
	CHECK(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
	fclose(file);
	return state;
}

static _Atomic pid_t blocked_tid;
static atomic_bool got_through;

static void *use_memory(void *at)
{
	atomic_store(&blocked_tid, gettid());
	OK(cuCtxSetCurrent(test_context(0)));
	fill(*(CUdeviceptr *)at, 4 * MIB, 2);
	atomic_store(&got_through, true);
	return NULL;
}

/* Calls wait while the memory is evicted, and all of them complete. */
static void calls_wait(void)
{
	pthread_t thread;
	CUdeviceptr at;

	OK(cuMemAlloc_v2(&at, 4 * MIB));
	CHECK(!pool_evict(10000, BREAK_NEVER).error);
	CHECK(!pthread_create(&thread, NULL, use_memory, &at));
	while (!atomic_load(&blocked_tid) || state_of(blocked_tid) != 'S')
		sched_yield();
	CHECK(!atomic_load(&got_through));
	CHECK(!pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER).error);
	pthread_join(thread, NULL);
	CHECK(atomic_load(&got_through) && holds(at, 4 * MIB, 2));
	OK(cuMemFree_v2(at));
}

static void few_descriptors(void)
{
	enum { NR = 400 };
	static CUdeviceptr at[NR];
	struct rlimit limit, small;
	struct pool_reply r;
	int before;

	for (int i = 0; i < NR; i++) {
		OK(cuMemAlloc_v2(&at[i], 2 * MIB));
		OK(cuMemsetD8_v2(at[i] + MIB, (unsigned char)(i * 7), 4096));
	}
	before = nr_descriptors();
	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	small = limit;
	/* The software driver has a descriptor open per allocation. Allow 24 more. */
	small.rlim_cur = before + 24;
	CHECK(!setrlimit(RLIMIT_NOFILE, &small));
	r = pool_evict(10000, BREAK_NEVER);
	CHECK(!r.error && r.nr_handles == NR);
	CHECK(r.max_fds > 0 && r.max_fds <= 32);
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	CHECK(!pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER).error);
	pool_commit();
	/* The service thread closes its socket after its answer. */
	while (nr_descriptors() != before)
		sched_yield();
	for (int i = 0; i < NR; i++) {
		unsigned char byte;

		OK(cuMemcpyDtoH_v2(&byte, at[i] + MIB + 4095, 1));
		CHECK(byte == (unsigned char)(i * 7));
		OK(cuMemFree_v2(at[i]));
	}
}

/* Between operations, only the service thread exists. */
static void idle(void)
{
	const int files = nr_descriptors();
	pthread_t thread;

	CHECK(!pool_evict(10000, BREAK_NEVER).error);
	CHECK(!pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER).error);
	pool_commit();
	/*
	 * DONE is sent before the socket is closed. The second signal is
	 * handled only after that.
	 */
	CHECK(pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_AFTER_HELLO).last_type);
	CHECK(!pthread_create(&thread, NULL, alloc_and_free, NULL));
	pthread_join(thread, NULL);
	CHECK(nr_descriptors() <= files + 1);
	CHECK(service_tid(getpid()) > 0);
}

int main(int argc, char **argv)
{
	setenv("SOFTCUDA_MEMORY_MB", "2048", 1);
	test_begin(argc, argv);
	CHECK(!service_tid(getpid()));
	test_cuda_begin();
	work_that_does_not_end();
	calls_wait();
	few_descriptors();
	idle();
	return 0;
}
