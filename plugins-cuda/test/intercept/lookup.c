// SPDX-License-Identifier: MIT
/*
 * Description: however a program looks up a driver function, it gets a stub
 * that calls the driver's function. Every other lookup has the result that
 * glibc gives.
 */
#include "test/intercept/intercept_test.h"

#include <dlfcn.h>
#include <string.h>

#define INTERCEPTOR "libcuda_intercept.so"

/* In second.c, which is another library. */
void *second_next(const char *name);
void *second_default(const char *name);
CUresult second_plt(int *count);

static bool is_in(const void *address, const char *library)
{
	Dl_info info;

	return address && dladdr(address, &info) && info.dli_fname &&
	       strstr(info.dli_fname, library);
}

static bool is_ours(const void *address)
{
	return is_in(address, INTERCEPTOR);
}

static void *driver;

static void by_dlsym(void)
{
	int (*get_count)(int *);
	int count = 0;

	CHECK(is_ours(dlsym(driver, "cuDeviceGetCount")));
	CHECK(is_ours(dlsym(RTLD_DEFAULT, "cuDeviceGetCount")));
	CHECK(is_ours(dlsym(RTLD_NEXT, "cuDeviceGetCount")));
	CHECK(is_ours(second_next("cuDeviceGetCount")));
	CHECK(is_ours(second_default("cuDeviceGetCount")));
	CHECK(dlsym(driver, "cuDeviceGetCount") == dlsym(RTLD_DEFAULT, "cuDeviceGetCount"));
	*(void **)&get_count = dlsym(driver, "cuDeviceGetCount");
	CHECK(!get_count(&count) && count == 2);
	count = 0;
	OK(second_plt(&count));
	CHECK(count == 2);
	count = 0;
	*(void **)&get_count = second_next("cuDeviceGetCount");
	CHECK(!get_count(&count) && count == 2);
	CHECK(is_ours(dlsym(driver, "cuMemcpyHtoD_v2_ptds")));
}

/* A function that the driver does not have cannot be found, although we export its name. */
static void what_is_missing(void)
{
	dlerror();
	CHECK(!dlsym(driver, "cuGraphicsMapResources"));
	CHECK(dlerror());
	CHECK(!dlsym(RTLD_DEFAULT, "cuGraphicsMapResources"));
	CHECK(dlerror());
	CHECK(!dlsym(RTLD_NEXT, "cuGraphicsMapResources"));
	CHECK(dlerror());
	CHECK(!second_next("cuGraphicsMapResources"));
	CHECK(!dlsym(RTLD_DEFAULT, "cuNoSuchFunctionAtAll"));
}

static void other_names(void)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	void *(*lookup)(void *, const char *);

	CHECK(libc);
	CHECK(is_in(dlsym(libc, "strlen"), "libc.so") || dlsym(libc, "strlen"));
	CHECK(dlsym(RTLD_DEFAULT, "second_next") == (void *)second_next);
	/* RTLD_NEXT is relative to the caller, so a library does not find itself. */
	CHECK(dlsym(RTLD_NEXT, "second_next") == (void *)second_next);
	CHECK(!second_next("second_next"));
	CHECK(!dlsym(RTLD_DEFAULT, "no_such_name"));
	/* A lookup function that was itself looked up must not bypass the stubs. */
	*(void **)&lookup = dlsym(libc, "dlsym");
	CHECK(lookup && is_ours((void *)lookup));
	CHECK(is_ours(lookup(driver, "cuInit")));
	CHECK(is_ours(dlvsym(libc, "dlsym", "GLIBC_2.2.5")) ||
	      !dlvsym(libc, "dlsym", "GLIBC_2.2.5"));
	CHECK(dlvsym(libc, "strlen", "GLIBC_2.2.5") || dlvsym(libc, "strlen", "GLIBC_2.17"));
	CHECK(!dlvsym(libc, "strlen", "GLIBC_0.0"));
}

static void *proc(const char *name, int version, cuuint64_t flags)
{
	CUdriverProcAddressQueryResult status = 99;
	void *one = NULL, *two = NULL;

	OK(cuGetProcAddress_v2(name, &one, version, flags, &status));
	CHECK(status == CU_GET_PROC_ADDRESS_SUCCESS);
	OK(cuGetProcAddress(name, &two, version, flags));
	CHECK(one && one == two && is_ours(one));
	return one;
}

static void by_proc_address(void)
{
	CUdriverProcAddressQueryResult status = 99;
	CUresult (*alloc)(CUdeviceptr *, size_t);
	CUdeviceptr at;
	void *found;

	CHECK(proc("cuMemAlloc", 13000, 0) == dlsym(driver, "cuMemAlloc_v2"));
	CHECK(proc("cuMemAlloc", 3020, 2) == dlsym(driver, "cuMemAlloc_v2"));
	CHECK(proc("cuMemFree", 3020, 1) == dlsym(driver, "cuMemFree_v2"));
	CHECK(proc("cuLaunchKernel", 13000, 0) == dlsym(driver, "cuLaunchKernel"));
	CHECK(proc("cuLaunchKernel", 13000, 2) == dlsym(driver, "cuLaunchKernel_ptsz"));
	CHECK(proc("cuMemcpyHtoD", 13000, 2) == dlsym(driver, "cuMemcpyHtoD_v2_ptds"));
	CHECK(proc("cuMemcpyHtoD", 13000, 1) == dlsym(driver, "cuMemcpyHtoD_v2"));
	/* The two versions of this call have different arguments. */
	CHECK(proc("cuGetProcAddress", 12000, 0) == dlsym(driver, "cuGetProcAddress_v2"));
	CHECK(proc("cuGetProcAddress", 11030, 0) == dlsym(driver, "cuGetProcAddress"));
	*(void **)&alloc = proc("cuMemAlloc", 13000, 0);
	OK(alloc(&at, 4 * MIB));
	OK(cuMemFree_v2(at));

	FAILS(cuGetProcAddress_v2("cuMemCreate", &found, 9000, 0, &status), CUDA_ERROR_NOT_FOUND);
	CHECK(status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT && !found);
	FAILS(cuGetProcAddress_v2("cuNothing", &found, 13000, 0, NULL), CUDA_ERROR_NOT_FOUND);
	FAILS(cuGetProcAddress_v2(NULL, &found, 13000, 0, NULL), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuGetProcAddress("cuInit", NULL, 13000, 0), CUDA_ERROR_INVALID_VALUE);
}

int main(int argc, char **argv)
{
	setenv("SOFTCUDA_DEVICES", "2", 1);
	test_begin(argc, argv);
	test_cuda_begin();
	driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
	CHECK(driver && is_ours((void *)cuInit));
	by_dlsym();
	what_is_missing();
	other_names();
	by_proc_address();
	return 0;
}
