// SPDX-License-Identifier: MIT
// Modules and kernels: PTX lookup, launch arguments, results compared with the reference functions.
#include "test/softcuda/softcuda_test.h"

static void test_loading(void)
{
	static const unsigned char fatbin[] = {0x50, 0xed, 0x55, 0xba, 1, 0, 0, 0};
	char path[] = "/tmp/softcuda-ptx-XXXXXX";
	CUfunction function, again;
	CUmodule module, owner;
	CUdeviceptr ptr;
	int fd, value;
	size_t size;

	RESULT_IS(cuModuleLoadData(&module, "no PTX"), CUDA_ERROR_INVALID_PTX);
	RESULT_IS(cuModuleLoadData(&module, fatbin), CUDA_ERROR_NO_BINARY_FOR_GPU);
	RESULT_IS(cuModuleLoadData(&module, "\177ELF"), CUDA_ERROR_NO_BINARY_FOR_GPU);
	RESULT_IS(cuModuleLoad(&module, "/nonexistent.ptx"), CUDA_ERROR_FILE_NOT_FOUND);
	OK(cuModuleLoadDataEx(&module, TEST_PTX, 0, NULL, NULL));
	OK(cuModuleGetFunction(&function, module, "ccr_fill_u64"));
	OK(cuModuleGetFunction(&again, module, "ccr_fill_u64"));
	CHECK(function == again);
	RESULT_IS(cuModuleGetFunction(&again, module, "ccr_fill"), CUDA_ERROR_NOT_FOUND);
	RESULT_IS(cuModuleGetFunction(&again, module, "commented_out"), CUDA_ERROR_NOT_FOUND);
	RESULT_IS(cuModuleGetFunction(&again, module, "also_commented"), CUDA_ERROR_NOT_FOUND);
	RESULT_IS(cuModuleGetFunction(&again, module, "without_implementation"),
		  CUDA_ERROR_NOT_SUPPORTED);
	RESULT_IS(cuModuleGetGlobal_v2(&ptr, &size, module, "table"), CUDA_ERROR_NOT_FOUND);
	OK(cuFuncGetModule(&owner, function));
	CHECK(owner == module);
	OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function));
	CHECK(value == 1024);
	OK(cuModuleUnload(module));
	RESULT_IS(cuModuleUnload(module), CUDA_ERROR_INVALID_HANDLE);
	RESULT_IS(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, function),
		  CUDA_ERROR_INVALID_HANDLE);
	RESULT_IS(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
		  CUDA_ERROR_INVALID_HANDLE);
	CHECK((fd = mkstemp(path)) >= 0);
	CHECK(write(fd, TEST_PTX, strlen(TEST_PTX)) == (ssize_t)strlen(TEST_PTX));
	close(fd);
	OK(cuModuleLoad(&module, path));
	unlink(path);
	OK(cuModuleGetFunction(&function, module, "ccr_spin"));
	OK(cuModuleUnload(module));
}

// Odd lengths and offsets, so that ranges do not match the blocks of the pattern.
static void test_results(void)
{
	static const struct {
		uint64_t words, first;
	} cases[] = {{1, 0}, {4095, 1}, {4096, 4096}, {10000, 4090}, {12289, 1ull << 40}};
	static uint64_t expected[12289], have[12289];
	CUdeviceptr ptr, out;

	OK(cuMemAlloc_v2(&ptr, sizeof(have)));
	OK(cuMemAlloc_v2(&out, 8));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t words = cases[i].words, first = cases[i].first, key = 0xabcdef + i,
			 sum = 5;
		void *fill_params[] = {&ptr, &words, &first, &key};
		void *sum_params[] = {&ptr, &words, &first, &out};

		OK(cuMemsetD8_v2(ptr, 0, sizeof(have)));
		OK(cuMemcpyHtoD_v2(out, &sum, 8));
		OK(cuLaunchKernel(kernel("ccr_fill_u64"), 1, 1, 1, 1, 1, 1, 0, NULL, fill_params,
				  NULL));
		OK(cuLaunchKernel(kernel("ccr_checksum_u64"), 7, 1, 1, 96, 1, 1, 0, NULL,
				  sum_params, NULL));
		OK(cuMemcpyDtoH_v2(&sum, out, 8));
		OK(cuMemcpyDtoH_v2(have, ptr, sizeof(have)));
		memset(expected, 0, sizeof(expected));
		ccr_pattern_fill(expected, words, first, key);
		CHECK(!memcmp(have, expected, sizeof(have)));
		CHECK(sum == 5 + ccr_pattern_checksum(expected, words, first));
	}
	OK(cuMemFree_v2(ptr));
	OK(cuMemFree_v2(out));
}

static void test_arguments(void)
{
	CUlaunchAttribute cooperative = {.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE,
					 .value.cooperative = 1};
	CUlaunchConfig config = {1, 1, 1, 1, 1, 1, 0, NULL, &cooperative, 1};
	CUfunction function = kernel("ccr_fill_u64");
	struct ccr_fill_u64_params packed = {0, 8, 0, 3};
	size_t size = sizeof(packed);
	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE,
			 &size, CU_LAUNCH_PARAM_END};
	uint64_t word;
	CUdeviceptr ptr;
	void *params[] = {&packed.ptr, &packed.nr_words, &packed.first_word, &packed.key};

	OK(cuMemAlloc_v2(&ptr, 64));
	packed.ptr = ptr;
	OK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra));
	OK(cuMemcpyDtoH_v2(&word, ptr + 56, 8));
	CHECK(word == ccr_pattern_word(7, 3));
	RESULT_IS(cuLaunchKernelEx(&config, function, params, NULL), CUDA_ERROR_NOT_SUPPORTED);
	config.numAttrs = 0;
	packed.key = 4;
	OK(cuLaunchKernelEx(&config, function, params, NULL));
	packed.key = 5; // the call has copied the parameters
	OK(cuMemcpyDtoH_v2(&word, ptr, 8));
	CHECK(word == ccr_pattern_word(0, 4));
	RESULT_IS(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, params, extra),
		  CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
		  CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuLaunchKernel(function, 0, 1, 1, 1, 1, 1, 0, NULL, params, NULL),
		  CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuLaunchKernel(function, 1, 1, 1, 1024, 2, 1, 0, NULL, params, NULL),
		  CUDA_ERROR_INVALID_VALUE);
	size = 8;
	RESULT_IS(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra),
		  CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFree_v2(ptr));
}

int main(void)
{
	own_devices(1, 64);
	start_device(0);
	test_loading();
	test_results();
	test_arguments();
	return 0;
}
