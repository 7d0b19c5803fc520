// SPDX-License-Identifier: MIT
// Device memory: contents, accounting, bounds, zeroing, pinned host memory, pointer attributes.
#include "test/softcuda/softcuda_test.h"

static void test_contents_and_bounds(void)
{
	unsigned char host[4096], back[4096];
	CUdeviceptr a, b, base;
	size_t size;

	for (size_t i = 0; i < sizeof(host); i++)
		host[i] = (unsigned char)(i * 7);
	OK(cuMemAlloc_v2(&a, sizeof(host)));
	OK(cuMemAlloc_v2(&b, sizeof(host)));
	CHECK(a % 256 == 0 && b % 256 == 0 && a != b);
	OK(cuMemcpyHtoD_v2(a, host, sizeof(host)));
	OK(cuMemsetD8_v2(b, 0xee, sizeof(host)));
	OK(cuMemcpyDtoH_v2(back, a, sizeof(host)));
	CHECK(!memcmp(host, back, sizeof(host)));
	OK(cuMemcpyDtoD_v2(b + 16, a, 100));
	OK(cuMemcpyDtoH_v2(back, b, sizeof(host)));
	CHECK(back[15] == 0xee && !memcmp(back + 16, host, 100) && back[116] == 0xee);
	// A byte past the end of an allocation is invalid, although its block is larger.
	RESULT_IS(cuMemcpyDtoH_v2(back, a + 1, sizeof(host)), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemsetD8_v2(a - 1, 0, 2), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemsetD32_v2(a + 1, 0, 1), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemcpyHtoD_v2(0x1000, host, 16), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemsetD16_v2(a, 0x1234, 8));
	OK(cuMemsetD32_v2(a + 16, 0x89abcdef, 4));
	OK(cuMemcpyDtoH_v2(back, a, 32));
	CHECK(((uint16_t *)back)[7] == 0x1234 && ((uint32_t *)back)[4] == 0x89abcdef);
	OK(cuMemGetAddressRange_v2(&base, &size, a + 100));
	CHECK(base == a && size == sizeof(host));
	OK(cuMemFree_v2(a));
	RESULT_IS(cuMemFree_v2(a), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemFree_v2(b + 8), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemcpyDtoH_v2(back, a, 1), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFree_v2(b));
}

static void test_accounting(void)
{
	size_t before = free_memory(), free_bytes, total;
	CUdeviceptr a, small[64];
	unsigned char byte = 1;

	OK(cuMemGetInfo_v2(&free_bytes, &total));
	CHECK(total == 64 * MIB);
	OK(cuMemAlloc_v2(&a, 5 * MIB));
	CHECK(free_memory() == before - 6 * MIB);
	OK(cuMemsetD8_v2(a, 0xff, 5 * MIB));
	OK(cuMemFree_v2(a));
	CHECK(free_memory() == before);
	for (int i = 0; i < 64; i++)
		OK(cuMemAlloc_v2(&small[i], 1000));
	CHECK(free_memory() == before - 2 * MIB);
	for (int i = 0; i < 64; i++)
		for (int j = 0; j < i; j++)
			CHECK(small[i] >= small[j] + 1000 || small[j] >= small[i] + 1000);
	for (int i = 0; i < 64; i++)
		OK(cuMemFree_v2(small[i]));
	CHECK(free_memory() == before);
	RESULT_IS(cuMemAlloc_v2(&a, 0), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemAlloc_v2(&a, 65 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
	OK(cuMemAlloc_v2(&a, 64 * MIB));
	RESULT_IS(cuMemAlloc_v2(&small[0], 1), CUDA_ERROR_OUT_OF_MEMORY);
	// The bytes written above must not be visible.
	OK(cuMemcpyDtoH_v2(&byte, a + 3 * MIB, 1));
	CHECK(byte == 0);
	OK(cuMemFree_v2(a));
	CHECK(free_memory() == before);
}

static void test_fragments(void)
{
	CUdeviceptr parts[32], big;

	for (int i = 0; i < 32; i++)
		OK(cuMemAlloc_v2(&parts[i], 2 * MIB));
	for (int i = 0; i < 32; i += 2)
		OK(cuMemFree_v2(parts[i]));
	OK(cuMemAlloc_v2(&big, 32 * MIB));
	CHECK(free_memory() == 0);
	OK(cuMemFree_v2(big));
	for (int i = 1; i < 32; i += 2)
		OK(cuMemFree_v2(parts[i]));
	CHECK(free_memory() == 64 * MIB);
}

static void test_host_memory(void)
{
	static char plain[8192];
	CUdeviceptr mapped, device;
	unsigned int flags;
	char *pinned;

	OK(cuMemHostAlloc((void **)&pinned, 10000, CU_MEMHOSTALLOC_DEVICEMAP));
	OK(cuMemHostGetDevicePointer_v2(&mapped, pinned + 100, 0));
	CHECK(mapped == (CUdeviceptr)(uintptr_t)(pinned + 100));
	OK(cuMemHostGetFlags(&flags, pinned));
	CHECK(flags & CU_MEMHOSTALLOC_DEVICEMAP);
	OK(cuMemsetD8_v2(mapped, 0x3c, 200));
	CHECK(pinned[99] == 0 && pinned[100] == 0x3c && pinned[299] == 0x3c && pinned[300] == 0);
	OK(cuMemAlloc_v2(&device, 10000));
	OK(cuMemcpyHtoD_v2(device, pinned, 10000));
	memset(pinned, 0, 10000);
	OK(cuMemcpyDtoH_v2(pinned, device, 10000));
	CHECK(pinned[299] == 0x3c);
	OK(cuMemFree_v2(device));
	RESULT_IS(cuMemFreeHost(pinned + 1), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemHostUnregister(pinned), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
	OK(cuMemFreeHost(pinned));
	OK(cuMemHostRegister_v2(plain, sizeof(plain), 0));
	RESULT_IS(cuMemHostRegister_v2(plain + 10, 10, 0),
		  CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
	OK(cuMemHostGetDevicePointer_v2(&mapped, plain, 0));
	OK(cuMemsetD8_v2(mapped, 7, sizeof(plain)));
	CHECK(plain[0] == 7 && plain[8191] == 7);
	OK(cuMemHostUnregister(plain));
	RESULT_IS(cuMemHostUnregister(plain), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
	RESULT_IS(cuMemHostGetDevicePointer_v2(&mapped, plain, 0), CUDA_ERROR_INVALID_VALUE);
}

static void test_attributes(void)
{
	CUpointer_attribute names[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
				       CU_POINTER_ATTRIBUTE_MAPPED};
	unsigned int type = 99, access;
	unsigned char mapped = 99;
	void *data[] = {&type, &mapped};
	CUdeviceptr a, base;
	size_t size;
	int device, local;

	OK(cuMemAlloc_v2(&a, 3 * MIB));
	OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, a + 5));
	CHECK(type == CU_MEMORYTYPE_DEVICE);
	OK(cuPointerGetAttribute(&device, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, a));
	CHECK(device == 0);
	OK(cuPointerGetAttribute(&base, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, a + MIB));
	OK(cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_RANGE_SIZE, a + MIB));
	OK(cuPointerGetAttribute(&access, CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, a));
	CHECK(base == a && size == 3 * MIB && access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	RESULT_IS(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
					(CUdeviceptr)(uintptr_t)&local),
		  CUDA_ERROR_INVALID_VALUE);
	OK(cuPointerGetAttributes(2, names, data, (CUdeviceptr)(uintptr_t)&local));
	CHECK(type == 0 && mapped == 0);
	OK(cuPointerGetAttributes(2, names, data, a));
	CHECK(type == CU_MEMORYTYPE_DEVICE && mapped == 1);
	OK(cuMemFree_v2(a));
}

int main(void)
{
	CUdeviceptr ptr;

	own_devices(1, 64);
	RESULT_IS(cuMemAlloc_v2(&ptr, 16), CUDA_ERROR_NOT_INITIALIZED);
	OK(cuInit(0));
	RESULT_IS(cuMemAlloc_v2(&ptr, 16), CUDA_ERROR_INVALID_CONTEXT);
	start_device(0);
	test_contents_and_bounds();
	test_accounting();
	test_fragments();
	test_host_memory();
	test_attributes();
	return 0;
}
