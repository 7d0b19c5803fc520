// SPDX-License-Identifier: MIT
/*
 * Description: memory goes to the pool and returns, complete and at its
 * addresses, in every mode and from both sources. Refused evicts and broken
 * connections lose nothing.
 */
#include "test/intercept/intercept_test.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NR 9

static CUdeviceptr at[NR];
static const size_t sizes[NR] = {2 * MIB, 3 * MIB + 4096, 8 * MIB, 2 * MIB + 4, 5 * MIB,
				 2 * MIB, 4 * MIB,	  6 * MIB, 1 * MIB};

static void allocate_all(void)
{
	for (int i = 0; i < NR; i++) {
		OK(cuMemAlloc_v2(&at[i], sizes[i]));
		fill(at[i], sizes[i] & ~3ull, i + 1);
	}
}

static void verify_all(void)
{
	for (int i = 0; i < NR; i++)
		CHECK(holds(at[i], sizes[i] & ~3ull, i + 1));
}

/* All but the last allocation, which is small and stays with the driver. */
#define NR_MOVED (NR - 1)

static uint64_t moved_bytes(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < NR_MOVED; i++)
		sum += (sizes[i] + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
	return sum;
}

static void evict_and_check(void)
{
	const uint64_t before = pool_free_bytes();
	struct pool_reply r = pool_evict(10000, BREAK_NEVER);

	CHECK(!r.error && r.last_type == CCR_MSG_DONE);
	CHECK(r.nspid == getpid() && r.state == CCR_SERVICE_RESIDENT);
	CHECK(r.nr_handles == NR_MOVED && r.bytes == moved_bytes());
	CHECK(is_shown_gated());
	/* The pool has the only references now: dropping them frees the memory. */
	pool_commit();
	CHECK(pool_free_bytes() == before + moved_bytes());
}

static void modes(void)
{
	static const enum ccr_attach_mode all[] = {CCR_ATTACH_ADOPT, CCR_ATTACH_MAP,
						   CCR_ATTACH_AUTO, CCR_ATTACH_MAP,
						   CCR_ATTACH_ADOPT};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct pool_reply r;
		uint64_t before;

		verify_all();
		/* Also after `map`: that memory cannot be exported, so it is adopted first. */
		evict_and_check();
		before = pool_free_bytes();
		r = pool_attach(all[i], SOURCE_IMAGE, BREAK_NEVER);
		CHECK(!r.error && r.last_type == CCR_MSG_DONE && r.state == CCR_SERVICE_EVICTED);
		verify_all();
		CHECK(!is_shown_gated());
		CHECK(pool_free_bytes() == before - moved_bytes());
		/* The memory must be writable, too. */
		fill(at[2], sizes[2], 77);
		CHECK(holds(at[2], sizes[2], 77));
		fill(at[2], sizes[2], 3);
	}
}

static void roll_back(void)
{
	struct pool_reply r = pool_evict(10000, BREAK_NEVER);

	CHECK(!r.error && r.last_type == CCR_MSG_DONE);
	r = pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER);
	CHECK(!r.error && r.last_type == CCR_MSG_DONE);
	pool_commit();
	verify_all();
}

static void breaks_of_evict(void)
{
	static const enum pool_break all[] = {
		BREAK_AFTER_HELLO, BREAK_AFTER_EVICT, BREAK_AFTER_DEVICES, BREAK_AFTER_HANDLES,
		BREAK_AFTER_END,   ABORT_AFTER_HELLO, ABORT_AFTER_END,
	};
	const uint64_t before = pool_free_bytes();

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct pool_reply r = pool_evict(10000, all[i]);

		CHECK(r.last_type != CCR_MSG_DONE);
		/* The gate opens again as soon as the service thread notices, so calls work. */
		verify_all();
		CHECK(pool_free_bytes() == before);
		CHECK(!is_shown_gated());
	}
}

static void breaks_of_attach(void)
{
	static const enum pool_break all[] = {BREAK_AFTER_HELLO, BREAK_AFTER_ATTACH, BREAK_MIDWAY,
					      FORGET_ONE, ABORT_AFTER_HELLO};
	static const enum ccr_attach_mode mode[] = {CCR_ATTACH_ADOPT, CCR_ATTACH_MAP};
	struct pool_reply r;
	uint64_t evicted;

	evict_and_check();
	evicted = pool_free_bytes();
	for (size_t i = 0; i < 2 * sizeof(all) / sizeof(all[0]); i++) {
		r = pool_attach(mode[i % 2], SOURCE_IMAGE, all[i / 2]);
		CHECK(r.last_type != CCR_MSG_DONE);
		CHECK(r.state == CCR_SERVICE_EVICTED);
		if (all[i / 2] == FORGET_ONE)
			CHECK(r.last_type == CCR_MSG_FAILED && r.error == -ENODATA);
		CHECK(is_shown_gated());
	}
	/* Memory that was mapped before the break is unmapped again, so it is still evicted. */
	r = pool_evict(1000, BREAK_NEVER);
	CHECK(r.error == -EALREADY && r.state == CCR_SERVICE_EVICTED);
	CHECK(pool_free_bytes() == evicted);
}

int main(int argc, char **argv)
{
	struct pool_reply r;

	setenv("SOFTCUDA_MEMORY_MB", "128", 1);
	test_begin(argc, argv);
	test_cuda_begin();
	allocate_all();
	verify_all();
	r = pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER);
	CHECK(r.error == -EALREADY && r.last_type == CCR_MSG_FAILED);
	modes();
	roll_back();
	breaks_of_evict();
	for (int i = 0; i < NR; i++)
		OK(cuMemFree_v2(at[i]));
	allocate_all();
	modes();
	breaks_of_attach();
	return 0;
}
