// SPDX-License-Identifier: MIT
/*
 * Description: memory that processes share by descriptor leaves and comes back, here between a
 * process and itself. Afterwards both sides are the same memory again, with the mappings, access
 * and handles that they had, also after the second time; and whatever the pool breaks off, either
 * nothing has changed or everything comes back later.
 */
#include "test/descriptors.h"
#include "test/intercept/intercept_test.h"

#include <dirent.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/protocol/mailbox.h"

#define TYPE	CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
#define WAIT_MS 10000
#define NR_MANY 70 /* with two exports each, more than three messages */

static CUmemGenericAllocationHandle create(size_t bytes)
{
	const CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
					  .requestedHandleTypes = TYPE,
					  .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
	CUmemGenericAllocationHandle handle;

	OK(cuMemCreate(&handle, bytes, &prop, 0));
	return handle;
}

static CUdeviceptr reserve(size_t bytes)
{
	CUdeviceptr at;

	OK(cuMemAddressReserve(&at, bytes, 0, 0, 0));
	return at;
}

static void set_access(CUdeviceptr at, size_t bytes, CUmemAccess_flags flags)
{
	const CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, flags};

	OK(cuMemSetAccess(at, bytes, &access, 1));
}

static void map(CUdeviceptr at, CUmemGenericAllocationHandle handle)
{
	OK(cuMemMap(at, 4 * MIB, 0, handle, 0));
	set_access(at, 4 * MIB, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
}

static CUmemGenericAllocationHandle import_of(CUmemGenericAllocationHandle own)
{
	CUmemGenericAllocationHandle imported;
	int fd;

	OK(cuMemExportToShareableHandle(&fd, own, TYPE, 0));
	OK(cuMemImportFromShareableHandle(&imported, (void *)(intptr_t)fd, TYPE));
	close(fd);
	return imported;
}

static bool numbers_are(uint64_t imports, uint64_t exports)
{
	struct ccr_mailbox m;

	CHECK(!ccr_mailbox_read(getpid(), &m, NULL));
	return m.imports == imports && m.exports == exports && m.kept_imports == imports &&
	       m.kept_exports == exports;
}

/* The keeper has a thread, and the program has none of its descriptors. */
static bool has_keeper(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	bool found = false;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		char path[64], comm[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", entry->d_name);
		file = fopen(path, "re");
		if (file && fgets(comm, sizeof(comm), file))
			found |= !strcmp(comm, "criu-cuda-keep\n");
		if (file)
			fclose(file);
	}
	closedir(dir);
	return found;
}

/* From the mailbox: a thread that the service thread starts has its name for a moment. */
static bool is_gated(void)
{
	struct ccr_mailbox m;

	CHECK(!ccr_mailbox_read(getpid(), &m, NULL));
	return m.gate_closed;
}

/* The service thread closes its connection after the answer. */
static void await_descriptors(int nr)
{
	while (nr_descriptors() != nr)
		sched_yield();
}

static void cycle(enum ccr_attach_mode mode, enum pool_source source, uint32_t nr)
{
	const int before = nr_descriptors();
	struct pool_reply r = pool_evict(WAIT_MS, BREAK_NEVER);

	CHECK(!r.error && r.nr_imports == nr && r.nr_matched == nr);
	/* The software driver has one for each allocation. */
	CHECK(!has_keeper());
	await_descriptors(before - 2 * (int)nr);
	r = pool_attach(mode, source, BREAK_NEVER);
	CHECK(!r.error && r.last_type == CCR_MSG_DONE);
	CHECK(has_keeper());
	await_descriptors(before);
	pool_commit();
}

/* Own memory at `at`; imported at three addresses, in part, and once only for reading. */
struct shared {
	CUmemGenericAllocationHandle own, imported;
	CUdeviceptr at, one, two, three;
};

static struct shared make(void)
{
	struct shared s = {.own = create(4 * MIB)};

	s.at = reserve(4 * MIB);
	s.one = reserve(4 * MIB);
	s.two = reserve(4 * MIB);
	s.three = reserve(4 * MIB);
	map(s.at, s.own);
	s.imported = import_of(s.own);
	CHECK(numbers_are(1, 1) && has_keeper());
	map(s.one, s.imported);
	OK(cuMemMap(s.two, 2 * MIB, 0, s.imported, 0));
	set_access(s.two, 2 * MIB, CU_MEM_ACCESS_FLAGS_PROT_READ);
	map(s.three, s.imported);
	OK(cuMemUnmap(s.three, 4 * MIB));
	fill(s.at, 4 * MIB, 60);
	return s;
}

static void check_shared(const struct shared *s, uint32_t seed)
{
	const CUmemLocation here = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
	CUmemGenericAllocationHandle again;
	unsigned long long flags;

	CHECK(holds(s->at, 4 * MIB, seed) && holds(s->one, 4 * MIB, seed));
	fill(s->one, 4 * MIB, seed + 1);
	CHECK(holds(s->at, 4 * MIB, seed + 1) && holds(s->two, 2 * MIB, seed + 1));
	fill(s->at, 4 * MIB, seed + 2);
	CHECK(holds(s->one, 4 * MIB, seed + 2));
	OK(cuMemGetAccess(&flags, &here, s->two));
	CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READ);
	OK(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)s->two));
	CHECK(again == s->imported);
	OK(cuMemRelease(again));
	map(s->three, s->imported);
	CHECK(holds(s->three, 4 * MIB, seed + 2));
	OK(cuMemUnmap(s->three, 4 * MIB));
}

static void drop(const struct shared *s)
{
	OK(cuMemUnmap(s->one, 4 * MIB));
	OK(cuMemUnmap(s->two, 2 * MIB));
	OK(cuMemUnmap(s->at, 4 * MIB));
	OK(cuMemRelease(s->own));
	OK(cuMemRelease(s->imported));
	FAILS(cuMemRelease(s->imported), CUDA_ERROR_INVALID_VALUE);
	CHECK(numbers_are(0, 0));
	OK(cuMemAddressFree(s->at, 4 * MIB));
	OK(cuMemAddressFree(s->one, 4 * MIB));
	OK(cuMemAddressFree(s->two, 4 * MIB));
	OK(cuMemAddressFree(s->three, 4 * MIB));
}

/* Three times, from what the pool kept and from an image, in each mode. */
static void comes_back(void)
{
	const struct shared s = make();

	cycle(CCR_ATTACH_ADOPT, SOURCE_IMAGE, 1);
	check_shared(&s, 60);
	cycle(CCR_ATTACH_AUTO, SOURCE_KEPT, 1);
	check_shared(&s, 62);
	cycle(CCR_ATTACH_ADOPT, SOURCE_IMAGE, 1);
	check_shared(&s, 64);
	drop(&s);
}

/* The exporter releases everything first; the importer alone has the memory. */
static void outlives_its_exporter(void)
{
	struct pool_reply r;
	struct shared s = make();
	uint64_t before;

	OK(cuMemUnmap(s.at, 4 * MIB));
	before = pool_free_bytes();
	OK(cuMemRelease(s.own));
	CHECK(numbers_are(1, 0) && holds(s.one, 4 * MIB, 60));
	/* Nobody can give it back: it is for the pool to refuse. */
	r = pool_evict(WAIT_MS, ABORT_AFTER_END);
	CHECK(r.nr_imports == 1 && !r.nr_matched && !r.nr_handles);
	CHECK(holds(s.one, 4 * MIB, 60) && has_keeper());
	OK(cuMemUnmap(s.one, 4 * MIB));
	OK(cuMemUnmap(s.two, 2 * MIB));
	CHECK(pool_free_bytes() == before);
	/* The kept descriptor does not keep the memory. */
	OK(cuMemRelease(s.imported));
	CHECK(pool_free_bytes() == before + 4 * MIB && numbers_are(0, 0));
	OK(cuMemAddressFree(s.at, 4 * MIB));
	OK(cuMemAddressFree(s.one, 4 * MIB));
	OK(cuMemAddressFree(s.two, 4 * MIB));
	OK(cuMemAddressFree(s.three, 4 * MIB));
}

/* Many allocations, each exported several times, while the program has few free descriptors. */
static void many(void)
{
	CUmemGenericAllocationHandle own[NR_MANY], imported[NR_MANY];
	const size_t bytes = NR_MANY * 2 * MIB;
	const CUdeviceptr at = reserve(bytes), other = reserve(bytes);
	struct rlimit limit, small;

	for (int i = 0; i < NR_MANY; i++) {
		own[i] = create(2 * MIB);
		OK(cuMemMap(at + i * 2 * MIB, 2 * MIB, 0, own[i], 0));
		OK(cuMemRelease(import_of(own[i])));
		imported[i] = import_of(own[i]);
		OK(cuMemMap(other + i * 2 * MIB, 2 * MIB, 0, imported[i], 0));
		OK(cuMemRelease(imported[i]));
	}
	set_access(at, bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	set_access(other, bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	for (int i = 0; i < NR_MANY; i++)
		fill(at + i * 2 * MIB, 4096, i);
	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	small = limit;
	small.rlim_cur = nr_descriptors() + NR_MANY;
	CHECK(!setrlimit(RLIMIT_NOFILE, &small));
	for (uint32_t seed = 0; seed < 2000; seed += 1000) {
		cycle(CCR_ATTACH_ADOPT, SOURCE_IMAGE, NR_MANY);
		for (int i = 0; i < NR_MANY; i++) {
			CHECK(holds(other + i * 2 * MIB, 4096, seed + i));
			fill(other + i * 2 * MIB, 4096, seed + 1000 + i);
			CHECK(holds(at + i * 2 * MIB, 4096, seed + 1000 + i));
		}
	}
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	OK(cuMemUnmap(at, bytes));
	OK(cuMemUnmap(other, bytes));
	for (int i = 0; i < NR_MANY; i++)
		OK(cuMemRelease(own[i]));
	CHECK(numbers_are(0, 0));
	OK(cuMemAddressFree(at, bytes));
	OK(cuMemAddressFree(other, bytes));
}

/* Before HELD, nothing has changed; during an attach, the next one begins again. */
static void breaks(void)
{
	static const enum pool_break evicts[] = {BREAK_AFTER_HANDLES, BREAK_AFTER_SHARED,
						 BREAK_AFTER_END, ABORT_AFTER_END};
	static const enum pool_break attaches[] = {BREAK_AFTER_PLACED, BREAK_AFTER_EXPORT,
						   BREAK_BEFORE_OPEN, FORGET_IMPORT};
	const struct shared s = make();
	uint32_t seed = 60;

	for (size_t i = 0; i < sizeof(evicts) / sizeof(*evicts); i++, seed += 2) {
		pool_evict(WAIT_MS, evicts[i]);
		while (is_gated())
			sched_yield();
		CHECK(has_keeper());
		check_shared(&s, seed);
	}
	for (size_t i = 0; i < sizeof(attaches) / sizeof(*attaches); i++, seed += 2) {
		struct pool_reply r = pool_evict(WAIT_MS, BREAK_NEVER);

		CHECK(!r.error && r.nr_matched == 1);
		r = pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, attaches[i]);
		CHECK(is_gated());
		r = pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER);
		/* With everything in place, only another pool knows whether others run. */
		CHECK(!r.error &&
		      r.state == (attaches[i] == BREAK_BEFORE_OPEN ? CCR_SERVICE_PLACED
								   : CCR_SERVICE_EVICTED));
		pool_commit();
		check_shared(&s, seed);
	}
	drop(&s);
}

/* What cannot be mapped again exactly stays with the driver, which the mailbox tells. */
static void not_kept(void)
{
	const CUmulticastObjectProp prop = {.numDevices = 1, .size = 8 * MIB};
	const struct shared s = make();
	CUmemGenericAllocationHandle mc;
	struct ccr_mailbox m;
	struct pool_reply r;

	OK(cuMulticastCreate(&mc, &prop));
	OK(cuMulticastAddDevice(mc, 0));
	OK(cuMulticastBindMem(mc, 0, s.imported, 0, 2 * MIB, 0));
	CHECK(!ccr_mailbox_read(getpid(), &m, NULL));
	CHECK(m.imports == 1 && !m.kept_imports && m.exports == 1 && m.kept_exports == 1);
	r = pool_evict(WAIT_MS, BREAK_NEVER);
	CHECK(r.error && strstr(r.text, "cannot be restored"));
	CHECK(holds(s.one, 4 * MIB, 60));
	OK(cuMemRelease(mc));
	drop(&s);
}

/* Memory that the driver pins again in its restore. */
static void counts_registrations(void)
{
	static char pages[3 * 4096] __attribute__((aligned(4096)));
	struct ccr_mailbox m;

	CHECK(!ccr_mailbox_read(getpid(), &m, NULL) && !m.registrations);
	OK(cuMemHostRegister_v2(pages, 2 * 4096, 0));
	CHECK(cuMemHostRegister_v2(pages, 4096, 0) != CUDA_SUCCESS);
	CHECK(!ccr_mailbox_read(getpid(), &m, NULL) && m.registrations == 1);
	OK(cuMemHostUnregister(pages));
	OK(cuMemHostRegister_v2(pages, 4096, 0));
	OK(cuMemHostUnregister(pages));
	CHECK(!ccr_mailbox_read(getpid(), &m, NULL) && m.registrations == 2);
}

int main(int argc, char **argv)
{
	uint64_t before;

	test_begin(argc, argv);
	test_cuda_begin();
	before = pool_free_bytes();
	CHECK(!has_keeper());
	comes_back();
	outlives_its_exporter();
	breaks();
	many();
	not_kept();
	counts_registrations();
	CHECK(pool_free_bytes() == before);
	return 0;
}
