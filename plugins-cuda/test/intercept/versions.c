// SPDX-License-Identifier: MIT
/*
 * Description: a version that the interceptor does not know, of a call whose
 * wrapper it needs, is not found, and stderr says why. Known versions, and unknown
 * ones of other calls, are found and go through a stub.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/intercept/intercept_test.h"
#include "common/driver/cuda_abi.h"

static void *driver;
static CUresult (*get_proc)(const char *, void **, int, cuuint64_t,
			    CUdriverProcAddressQueryResult *);
static CUresult (*get_proc_v1)(const char *, void **, int, cuuint64_t);

static bool is_stub(const void *address)
{
	Dl_info info;

	return address && dladdr(address, &info) && strstr(info.dli_fname, "libcuda_intercept");
}

static int call(void *function)
{
	int (*run)(void);

	*(void **)&run = function;
	return run();
}

static char *said(int log)
{
	static char text[4096];
	const ssize_t n = pread(log, text, sizeof(text) - 1, 0);

	CHECK(n >= 0 && !ftruncate(log, 0));
	text[n] = '\0';
	return text;
}

static void by_name(int log)
{
	static const char *const unknown[] = {"cuMemMap_v9", "cuMemMap_v10_ptsz", "cuCtxCreate_v9",
					      "cuStreamBeginCapture_v9"};

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		dlerror();
		CHECK(!dlsym(driver, unknown[i]));
		CHECK(strstr(dlerror(), "not offered by libcuda_intercept.so"));
		CHECK(strstr(said(log), unknown[i]));
		CHECK(!dlsym(RTLD_DEFAULT, unknown[i]));
		CHECK(!dlsym(RTLD_NEXT, unknown[i]));
		said(log);
	}
	CHECK(is_stub(dlsym(driver, "cuMemMap")));
	CHECK(call(dlsym(driver, "cuMemFree")) == 1001);
	CHECK(is_stub(dlsym(driver, "cuMemcpyHtoD_v9")));
	CHECK(call(dlsym(driver, "cuMemcpyHtoD_v9")) == 1008);
	CHECK(call(dlsym(driver, "cuBrandNew_v3")) == 1009);
	CHECK(!*said(log));
}

static void *proc(const char *base, int version, CUresult expected)
{
	CUdriverProcAddressQueryResult status = 99;
	void *found = driver, *again = driver;

	CHECK(get_proc(base, &found, version, 0, &status) == expected);
	CHECK(get_proc_v1(base, &again, version, 0) == expected && found == again);
	CHECK(status == (expected == CUDA_SUCCESS ? CU_GET_PROC_ADDRESS_SUCCESS
						  : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND));
	CHECK(expected == CUDA_SUCCESS ? is_stub(found) : !found);
	return found;
}

static void by_version(int log)
{
	proc("cuMemMap", 14000, CUDA_ERROR_NOT_FOUND);
	CHECK(strstr(said(log), "cuMemMap in a version that is newer"));
	proc("cuCtxCreate", 14000, CUDA_ERROR_NOT_FOUND);
	proc("cuStreamBeginCapture", 14000, CUDA_ERROR_NOT_FOUND);
	said(log);
	CHECK(proc("cuMemMap", 13050, CUDA_SUCCESS) == dlsym(driver, "cuMemMap"));
	CHECK(proc("cuMemFree", 14000, CUDA_SUCCESS) == dlsym(driver, "cuMemFree_v2"));
	CHECK(call(proc("cuMemFree", 3010, CUDA_SUCCESS)) == 1001);
	CHECK(call(proc("cuMemcpyHtoD", 14000, CUDA_SUCCESS)) == 1008);
	CHECK(call(proc("cuBrandNew", 14000, CUDA_SUCCESS)) == 1009);
	proc("cuNoSuchCall", 14000, CUDA_ERROR_NOT_FOUND);
	CHECK(!*said(log));
}

int main(int argc, char **argv)
{
	char path[] = "/tmp/ccr-versions-XXXXXX";
	const int log = mkstemp(path);
	CUresult (*init)(unsigned int);

	CHECK(argc == 2 && log >= 0);
	unlink(path);
	CHECK(!fcntl(log, F_SETFL, O_APPEND));
	driver = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
	CHECK(driver);
	*(void **)&init = dlsym(driver, "cuInit");
	*(void **)&get_proc = dlsym(driver, "cuGetProcAddress_v2");
	*(void **)&get_proc_v1 = dlsym(driver, "cuGetProcAddress");
	CHECK(init && get_proc && get_proc_v1 && !init(0));
	/* Our own messages still go where they went. */
	stderr = fdopen(dup(STDERR_FILENO), "w");
	CHECK(stderr && dup2(log, STDERR_FILENO) == STDERR_FILENO);
	by_name(log);
	by_version(log);
	return 0;
}
