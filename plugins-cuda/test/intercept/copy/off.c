// SPDX-License-Identifier: MIT
/*
 * Description: when it is switched off or a setting is invalid, the library
 * passes every call to the driver: no stub, no thread, no message unless
 * requested. Each half of it can be switched off.
 */
#include "test/intercept/copy/copy_test.h"

#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_stub(const void *address)
{
	Dl_info info;

	return address && dladdr(address, &info) && strstr(info.dli_fname, "libcuda_intercept.so");
}

static void passes_through(void)
{
	void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD), *found = NULL;
	const CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
					  .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
	CUmemGenericAllocationHandle handle;
	unsigned long long types = 99;
	CUdeviceptr at;

	OK(cuInit(0));
	CHECK(driver && !is_stub(dlsym(driver, "cuMemAlloc_v2")));
	OK(cuGetProcAddress_v2("cuMemAlloc", &found, 13000, 0, NULL));
	CHECK(found);
	CHECK(!service_tid(getpid()));
	CUcontext ctx;
	OK(cuDevicePrimaryCtxRetain(&ctx, 0));
	OK(cuCtxSetCurrent(ctx));
	OK(cuMemAlloc_v2(&at, 4 * MIB));
	fill(at, 4 * MIB, 6);
	CHECK(holds(at, 4 * MIB, 6));
	OK(cuPointerGetAttribute(&types, CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, at));
	CHECK(!types);
	/* The driver's own handle, not one of our numbers. */
	OK(cuMemCreate(&handle, 2 * MIB, &prop, 0));
	CHECK(handle >> 48 != 0xccc5);
	OK(cuMemRelease(handle));
	OK(cuMemFree_v2(at));
}

/* Only copies are switched on. */
static void copies_only(void)
{
	const CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
					  .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
	CUmemGenericAllocationHandle handle;
	unsigned long long types = 99;
	CUdeviceptr at;

	test_cuda_begin();
	OK(cuMemAlloc_v2(&at, 16 * MIB));
	OK(cuPointerGetAttribute(&types, CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, at));
	CHECK(!types);
	OK(cuMemCreate(&handle, 2 * MIB, &prop, 0));
	CHECK(handle >> 48 != 0xccc5);
	OK(cuMemRelease(handle));
	fill(at, 16 * MIB, 7);
	CHECK(holds(at, 16 * MIB, 7));
	CHECK(copy_threads() > 0);
	/* The service thread, which ends the copying threads before a checkpoint. */
	while (!service_tid(getpid()))
		sched_yield();
	OK(cuMemFree_v2(at));
}

static void memory_only(void)
{
	CUdeviceptr at;

	test_cuda_begin();
	OK(cuMemAlloc_v2(&at, 16 * MIB));
	fill(at, 16 * MIB, 8);
	CHECK(holds(at, 16 * MIB, 8));
	CHECK(!copy_threads());
	OK(cuMemFree_v2(at));
}

/* Runs this program with one setting. True if it printed something on stderr. */
static bool speaks(const char *child_name, const char *key, const char *value, const char *debug)
{
	char *argv[] = {"intercept_off", (char *)child_name, NULL}, text[4096];
	ssize_t length = 0, part;
	int pipes[2], status;
	pid_t child;

	CHECK(!pipe(pipes));
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		dup2(pipes[1], STDERR_FILENO);
		close(pipes[0]);
		setenv(key, value, 1);
		setenv("CRIU_CUDA_INTERCEPT_DEBUG", debug, 1);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	close(pipes[1]);
	while ((part = read(pipes[0], text + length, sizeof(text) - 1 - length)) > 0)
		length += part;
	text[length] = '\0';
	close(pipes[0]);
	CHECK(waitpid(child, &status, 0) == child);
	if (status)
		fprintf(stderr, "%s=%s: %s", key, value, text);
	CHECK(!status);
	CHECK(!length || strstr(text, key));
	return length > 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--child")) {
		passes_through();
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--copies-only")) {
		copies_only();
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--memory-only")) {
		memory_only();
		return 0;
	}
	copy_settings();
	test_begin(argc, argv);
	CHECK(!speaks("--child", "CRIU_CUDA_INTERCEPT", "off", "0"));
	CHECK(!speaks("--child", "CRIU_CUDA_INTERCEPT", "memroy", "0"));
	CHECK(speaks("--child", "CRIU_CUDA_INTERCEPT", "memroy", "1"));
	CHECK(speaks("--child", "CRIU_CUDA_LOCK_TIMEOUT_MS", "-5", "1"));
	CHECK(speaks("--child", "CRIU_CUDA_RUN_DIR", "relative", "1"));
	CHECK(!speaks("--memory-only", "CRIU_CUDA_INTERCEPT", "memory", "1"));
	if (copy_unsupported())
		return 77;
	CHECK(!speaks("--copies-only", "CRIU_CUDA_INTERCEPT", "memcpy", "1"));
	return 0;
}
