// SPDX-License-Identifier: MIT
/*
 * Description: eight threads allocate, copy, launch, verify and free while
 * memory is evicted and attached 50 times, in every mode. No byte is wrong and
 * no call fails.
 */
#include "test/intercept/intercept_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define NR_THREADS 8
#ifdef __SANITIZE_THREAD__ /* ten times slower */
#define NR_CYCLES 12
#else
#define NR_CYCLES 50
#endif
#define BYTES (2 * MIB + 4096)

static atomic_bool stop;
static atomic_ulong rounds[NR_THREADS];

static CUdeviceptr map_own(CUmemGenericAllocationHandle *handle)
{
	const CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
					  .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
	const CUmemAccessDesc access = {prop.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
	CUdeviceptr at;

	OK(cuMemCreate(handle, 4 * MIB, &prop, 0));
	OK(cuMemAddressReserve(&at, 4 * MIB, 0, 0, 0));
	OK(cuMemMap(at, 4 * MIB, 0, *handle, 0));
	OK(cuMemSetAccess(at, 4 * MIB, &access, 1));
	return at;
}

static void one_round(CUstream stream, CUdeviceptr lasting, uint32_t seed, char *host)
{
	CUmemGenericAllocationHandle handle;
	CUdeviceptr at, own;

	OK(cuMemAlloc_v2(&at, BYTES));
	own = map_own(&handle);
	memset(host, seed & 0xff, BYTES);
	OK(cuMemcpyHtoDAsync_v2(at, host, BYTES, stream));
	OK(cuMemcpyDtoDAsync_v2(own, at, BYTES, stream));
	OK(cuMemsetD32Async(at, seed, BYTES / 4, stream));
	OK(cuStreamSynchronize(stream));
	memset(host, 0, BYTES);
	OK(cuMemcpyDtoH_v2(host, own, BYTES));
	for (size_t i = 0; i < BYTES; i++)
		CHECK(host[i] == (char)(seed & 0xff));
	OK(cuMemcpyDtoH_v2(host, at, BYTES));
	for (size_t i = 0; i < BYTES / 4; i++)
		CHECK(((uint32_t *)host)[i] == seed);
	CHECK(holds(lasting, BYTES, seed >> 20));
	OK(cuMemFree_v2(at));
	OK(cuMemUnmap(own, 4 * MIB));
	OK(cuMemRelease(handle));
	OK(cuMemAddressFree(own, 4 * MIB));
}

static void *work(void *argument)
{
	const uint32_t index = (uintptr_t)argument;
	char *host = malloc(BYTES);
	CUdeviceptr lasting;
	CUstream stream;

	CHECK(host);
	OK(cuCtxSetCurrent(test_context(0)));
	OK(cuStreamCreate(&stream, index % 2 ? CU_STREAM_NON_BLOCKING : CU_STREAM_DEFAULT));
	OK(cuMemAlloc_v2(&lasting, BYTES));
	fill(lasting, BYTES, index + 1);
	while (!atomic_load(&stop)) {
		const unsigned long round = atomic_fetch_add(&rounds[index], 1);

		one_round(stream, lasting, (index + 1) << 20 | (round & 0xfffff), host);
	}
	CHECK(holds(lasting, BYTES, index + 1));
	OK(cuMemFree_v2(lasting));
	OK(cuStreamDestroy_v2(stream));
	free(host);
	return NULL;
}

static void one_cycle(int i)
{
	static const enum ccr_attach_mode modes[] = {CCR_ATTACH_ADOPT, CCR_ATTACH_MAP,
						     CCR_ATTACH_AUTO};
	struct pool_reply r;

	if (i % 5 == 4) {
		/*
		 * The pool breaks off after everything was sent, and the
		 * program keeps its memory.
		 */
		r = pool_evict(60000, i % 2 ? ABORT_AFTER_END : BREAK_AFTER_END);
		CHECK(r.last_type == CCR_MSG_END);
		return;
	}
	r = pool_evict(60000, BREAK_NEVER);
	CHECK(!r.error && r.last_type == CCR_MSG_DONE);
	r = pool_attach(modes[i % 3], i % 2 ? SOURCE_KEPT : SOURCE_IMAGE, BREAK_NEVER);
	CHECK(!r.error && r.last_type == CCR_MSG_DONE);
	pool_commit();
}

int main(int argc, char **argv)
{
	pthread_t threads[NR_THREADS];
	unsigned long seen[NR_THREADS];

	test_begin(argc, argv);
	test_cuda_begin();
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, (void *)i));
	for (int i = 0; i < NR_CYCLES; i++) {
		for (int t = 0; t < NR_THREADS; t++)
			seen[t] = atomic_load(&rounds[t]);
		one_cycle(i);
		/* Wait until the threads are working again. */
		while (atomic_load(&rounds[i % NR_THREADS]) < seen[i % NR_THREADS] + 1)
			sched_yield();
	}
	atomic_store(&stop, true);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < NR_THREADS; i++)
		CHECK(atomic_load(&rounds[i]) > 1);
	return 0;
}
