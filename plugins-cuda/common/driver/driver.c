// SPDX-License-Identifier: MIT
#include "common/driver/driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* libcuda.so.1 as the loader finds it, then where gpu-operator, WSL and the like install it. */
static const char *const candidates[] = {
	"libcuda.so.1",
	"/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libcuda.so.1",
	"/run/nvidia/driver/usr/lib/aarch64-linux-gnu/libcuda.so.1",
	"/run/nvidia/driver/usr/lib64/libcuda.so.1",
	"/usr/local/nvidia/lib64/libcuda.so.1",
	"/home/kubernetes/bin/nvidia/lib64/libcuda.so.1",
};

static void *open_first(const char *path, char *error, size_t error_size)
{
	void *handle;

	if (*path) {
		handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (!handle)
			snprintf(error, error_size, "CRIU_CUDA_DRIVER \"%s\" cannot be opened: %s",
				 path, dlerror());
		return handle;
	}
	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		handle = dlopen(candidates[i], RTLD_NOW | RTLD_LOCAL);
		if (handle)
			return handle;
	}
	snprintf(error, error_size,
		 "no libcuda.so.1 found; install the NVIDIA driver (570 or newer) or set "
		 "CRIU_CUDA_DRIVER, without a GPU to the libcuda.so.1 of softcuda");
	return NULL;
}

static void note_path(struct ccr_driver *driver)
{
	Dl_info info;

	if (dladdr((void *)driver->cuDriverGetVersion, &info) && info.dli_fname)
		snprintf(driver->path, sizeof(driver->path), "%s", info.dli_fname);
}

/*
 * An optional call: NVIDIA says to ask for those by cuGetProcAddress and the version that has them,
 * which is INVALID_VALUE or NOT_FOUND on an earlier driver.
 */
static void *find_call(const struct ccr_driver *driver, const char *name, int version)
{
	typeof(cuGetProcAddress_v2) *const get =
		(typeof(cuGetProcAddress_v2) *)dlsym(driver->handle, "cuGetProcAddress_v2");
	CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
	void *function = NULL;

	if (!get || driver->version < version ||
	    get(name, &function, version, CU_GET_PROC_ADDRESS_DEFAULT, &found) != CUDA_SUCCESS ||
	    found != CU_GET_PROC_ADDRESS_SUCCESS)
		return NULL;
	return function;
}

int ccr_driver_open(struct ccr_driver *driver, const char *path, char *error, size_t error_size)
{
	const struct {
		const char *name;
		void **slot;
	} functions[] = {
#define FUNCTION(name) {#name, (void **)&driver->name}
		FUNCTION(cuInit),
		FUNCTION(cuDriverGetVersion),
		FUNCTION(cuCheckpointProcessGetRestoreThreadId),
		FUNCTION(cuCheckpointProcessGetState),
		FUNCTION(cuCheckpointProcessLock),
		FUNCTION(cuCheckpointProcessCheckpoint),
		FUNCTION(cuCheckpointProcessRestore),
		FUNCTION(cuCheckpointProcessUnlock),
	};

	memset(driver, 0, sizeof(*driver));
	driver->handle = open_first(path, error, error_size);
	if (!driver->handle)
		return -ENOENT;
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		*functions[i].slot = dlsym(driver->handle, functions[i].name);
		if (*functions[i].slot)
			continue;
		if (driver->cuDriverGetVersion)
			driver->cuDriverGetVersion(&driver->version);
		snprintf(error, error_size,
			 "%s has no %s (driver API %d); install driver 570 (API %d) or newer",
			 *path ? path : "libcuda.so.1", functions[i].name, driver->version,
			 CCR_DRIVER_MIN_VERSION);
		return -ENOSYS;
	}
	if (driver->cuDriverGetVersion(&driver->version) != CUDA_SUCCESS)
		driver->version = 0;
	driver->cuCheckpointOperationComplete =
		find_call(driver, "cuCheckpointOperationComplete", CCR_DRIVER_STORAGE_VERSION);
	note_path(driver);
	return 0;
}
