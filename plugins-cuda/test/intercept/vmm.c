// SPDX-License-Identifier: MIT
/*
 * Description: a program's own virtual memory management works as without us
 * and survives a cycle: aliases, mappings of released handles, growing
 * segments, handles without mappings.
 */
#include "test/intercept/intercept_test.h"

#include <string.h>
#include <unistd.h>

static CUmemAllocationProp prop_of(int device)
{
	const CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
					  .location = {CU_MEM_LOCATION_TYPE_DEVICE, device}};

	return prop;
}

static CUmemGenericAllocationHandle create(size_t bytes)
{
	const CUmemAllocationProp prop = prop_of(0);
	CUmemGenericAllocationHandle handle;

	OK(cuMemCreate(&handle, bytes, &prop, 0));
	return handle;
}

static void set_access(CUdeviceptr at, size_t bytes, CUmemAccess_flags flags)
{
	const CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, flags};

	OK(cuMemSetAccess(at, bytes, &access, 1));
}

static CUdeviceptr reserve(size_t bytes)
{
	CUdeviceptr at;

	OK(cuMemAddressReserve(&at, bytes, 0, 0, 0));
	return at;
}

static void map(CUdeviceptr at, size_t bytes, CUmemGenericAllocationHandle handle)
{
	OK(cuMemMap(at, bytes, 0, handle, 0));
	set_access(at, bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
}

static void cycle(enum ccr_attach_mode mode, uint64_t expected)
{
	struct pool_reply r = pool_evict(10000, BREAK_NEVER);

	CHECK(!r.error && r.nr_handles == expected);
	pool_commit();
	r = pool_attach(mode, SOURCE_IMAGE, BREAK_NEVER);
	CHECK(!r.error && r.last_type == CCR_MSG_DONE);
}

/* An allocation at two addresses; at one of them only half of it, and read-only. */
static void aliases(enum ccr_attach_mode mode)
{
	CUmemGenericAllocationHandle handle = create(8 * MIB), again;
	const CUdeviceptr one = reserve(8 * MIB), two = reserve(16 * MIB);
	const CUmemLocation here = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
	unsigned long long flags;

	map(one, 8 * MIB, handle);
	OK(cuMemMap(two + 4 * MIB, 4 * MIB, 0, handle, 0));
	set_access(two + 4 * MIB, 4 * MIB, CU_MEM_ACCESS_FLAGS_PROT_READ);
	fill(one, 8 * MIB, 21);
	CHECK(holds(two + 4 * MIB, 4 * MIB, 21));
	cycle(mode, 1);
	CHECK(holds(one, 8 * MIB, 21) && holds(two + 4 * MIB, 4 * MIB, 21));
	OK(cuMemGetAccess(&flags, &here, two + 4 * MIB));
	CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READ);
	/* Both mappings still have the same memory. */
	fill(one, 8 * MIB, 22);
	CHECK(holds(two + 4 * MIB, 4 * MIB, 22));
	/* The handle has the same number as before and can be mapped again. */
	OK(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)(two + 5 * MIB)));
	CHECK(again == handle);
	OK(cuMemRelease(again));
	map(two + 8 * MIB, 8 * MIB, handle);
	CHECK(holds(two + 8 * MIB, 8 * MIB, 22));
	OK(cuMemUnmap(two + 4 * MIB, 12 * MIB));
	OK(cuMemUnmap(one, 8 * MIB));
	OK(cuMemRelease(handle));
	FAILS(cuMemRelease(handle), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemAddressFree(one, 8 * MIB));
	OK(cuMemAddressFree(two, 16 * MIB));
}

/*
 * Like PyTorch: a large reservation that is mapped chunk by chunk, with handles
 * released or kept.
 */
static void segments(enum ccr_attach_mode mode)
{
	enum { NR = 6 };
	const CUdeviceptr at = reserve(64 * MIB);
	CUmemGenericAllocationHandle handles[NR];

	for (int i = 0; i < NR; i++) {
		handles[i] = create(2 * MIB);
		OK(cuMemMap(at + i * 2 * MIB, 2 * MIB, 0, handles[i], 0));
		if (i % 2)
			OK(cuMemRelease(handles[i]));
	}
	set_access(at, NR * 2 * MIB, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	fill(at, NR * 2 * MIB, 31);
	cycle(mode, NR);
	CHECK(holds(at, NR * 2 * MIB, 31));
	OK(cuMemUnmap(at + 2 * MIB, 4 * MIB)); /* 1 is freed, 2 is kept by its handle */
	cycle(mode, NR - 1);
	CHECK(holds(at, 2 * MIB, 31));
	map(at + 20 * MIB, 2 * MIB, handles[2]);
	OK(cuMemUnmap(at, 2 * MIB));
	OK(cuMemUnmap(at + 6 * MIB, 6 * MIB));
	OK(cuMemUnmap(at + 20 * MIB, 2 * MIB));
	for (int i = 0; i < NR; i += 2)
		OK(cuMemRelease(handles[i]));
	OK(cuMemAddressFree(at, 64 * MIB));
}

/* Memory that is not mapped during a cycle has its bytes when it is mapped again. */
static void unmapped(enum ccr_attach_mode mode)
{
	CUmemGenericAllocationHandle handle = create(4 * MIB);
	const CUdeviceptr at = reserve(4 * MIB);

	map(at, 4 * MIB, handle);
	fill(at, 4 * MIB, 41);
	OK(cuMemUnmap(at, 4 * MIB));
	cycle(mode, 1);
	map(at, 4 * MIB, handle);
	CHECK(holds(at, 4 * MIB, 41));
	OK(cuMemRelease(handle));
	OK(cuMemUnmap(at, 4 * MIB));
	OK(cuMemAddressFree(at, 4 * MIB));
}

static void properties(void)
{
	CUmemAllocationProp prop = prop_of(0), got;
	CUmemGenericAllocationHandle plain = create(2 * MIB), exportable, imported;
	const CUdeviceptr at = reserve(4 * MIB);
	unsigned long long types = 99;
	int fd = -1;

	OK(cuMemGetAllocationPropertiesFromHandle(&got, plain));
	CHECK(got.requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE);
	/* Memory that was not created exportable cannot be exported, as without us. */
	FAILS(cuMemExportToShareableHandle(&fd, plain, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
	      CUDA_ERROR_INVALID_VALUE);
	map(at, 2 * MIB, plain);
	OK(cuPointerGetAttribute(&types, CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, at));
	CHECK(!types);

	prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	OK(cuMemCreate(&exportable, 2 * MIB, &prop, 0));
	map(at + 2 * MIB, 2 * MIB, exportable);
	fill(at + 2 * MIB, 2 * MIB, 51);
	OK(cuMemExportToShareableHandle(&fd, exportable, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
					0));
	OK(cuMemImportFromShareableHandle(&imported, (void *)(intptr_t)fd,
					  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
	close(fd);
	/* Both allocations move; the imported handle is the same memory afterwards. */
	cycle(CCR_ATTACH_ADOPT, 2);
	CHECK(holds(at + 2 * MIB, 2 * MIB, 51));
	OK(cuMemRelease(imported));
	OK(cuMemUnmap(at, 4 * MIB));
	OK(cuMemRelease(plain));
	OK(cuMemRelease(exportable));
	OK(cuMemAddressFree(at, 4 * MIB));
	FAILS(cuMemRelease(plain), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuMemMap(at, 2 * MIB, 0, plain, 0), CUDA_ERROR_INVALID_VALUE);
	prop = prop_of(99);
	FAILS(cuMemCreate(&plain, 2 * MIB, &prop, 0), CUDA_ERROR_INVALID_VALUE);
}

int main(int argc, char **argv)
{
	static const enum ccr_attach_mode modes[] = {CCR_ATTACH_ADOPT, CCR_ATTACH_MAP};
	uint64_t before;

	test_begin(argc, argv);
	test_cuda_begin();
	before = pool_free_bytes();
	for (int i = 0; i < 2; i++) {
		aliases(modes[i]);
		segments(modes[i]);
		unmapped(modes[i]);
	}
	properties();
	pool_commit();
	CHECK(pool_free_bytes() == before);
	return 0;
}
