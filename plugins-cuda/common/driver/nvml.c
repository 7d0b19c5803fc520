// SPDX-License-Identifier: MIT
#include "common/driver/nvml.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NVML_LIBRARY  "libnvidia-ml.so.1"
#define NVML_SUCCESS  0
#define NVML_UNKNOWN  UINT64_MAX
#define MAX_PROCESSES 1024 /* on one GPU; what is beyond is not listed */

struct process_info {
	unsigned int pid;
	unsigned long long used;
	unsigned int gpu_instance, compute_instance;
};
_Static_assert(sizeof(struct process_info) == 24, "part of NVML's ABI");

static struct nvml {
	void *handle;
	int (*nvmlInit_v2)(void);
	int (*nvmlShutdown)(void);
	int (*nvmlDeviceGetCount_v2)(unsigned int *count);
	int (*nvmlDeviceGetHandleByIndex_v2)(unsigned int index, void **device);
	int (*nvmlDeviceGetComputeRunningProcesses_v3)(void *device, unsigned int *count,
						       struct process_info *infos);
} nvml;

static void *open_library(const char *driver)
{
	const char *slash = strrchr(driver, '/');
	char path[PATH_MAX];
	void *handle = NULL;

	if (slash && snprintf(path, sizeof(path), "%.*s/" NVML_LIBRARY, (int)(slash - driver),
			      driver) < (int)sizeof(path))
		handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	return handle ? handle : dlopen(NVML_LIBRARY, RTLD_NOW | RTLD_LOCAL);
}

static int load(const char *driver)
{
	const struct {
		const char *name;
		void **slot;
	} functions[] = {
#define FUNCTION(name) {#name, (void **)&nvml.name}
		FUNCTION(nvmlInit_v2),
		FUNCTION(nvmlShutdown),
		FUNCTION(nvmlDeviceGetCount_v2),
		FUNCTION(nvmlDeviceGetHandleByIndex_v2),
		FUNCTION(nvmlDeviceGetComputeRunningProcesses_v3),
	};

	if (nvml.handle)
		return 0;
	nvml.handle = open_library(driver);
	for (size_t i = 0; nvml.handle && i < sizeof(functions) / sizeof(functions[0]); i++) {
		*functions[i].slot = dlsym(nvml.handle, functions[i].name);
		if (*functions[i].slot)
			continue;
		dlclose(nvml.handle);
		nvml.handle = NULL;
	}
	return nvml.handle ? 0 : -ENOENT;
}

static int add_device(unsigned int index, struct process_info *infos, struct ccr_gpu_use **uses,
		      size_t *count)
{
	unsigned int nr = MAX_PROCESSES;
	struct ccr_gpu_use *longer;
	void *device;

	if (nvml.nvmlDeviceGetHandleByIndex_v2(index, &device) != NVML_SUCCESS ||
	    nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, &nr, infos) != NVML_SUCCESS)
		return 0; /* a lost device says nothing */
	longer = realloc(*uses, (*count + nr + 1) * sizeof(**uses));
	if (!longer)
		return -ENOMEM;
	*uses = longer;
	for (unsigned int i = 0; i < nr; i++) {
		const uint64_t used = infos[i].used == NVML_UNKNOWN ? 0 : infos[i].used;

		longer[(*count)++] = (struct ccr_gpu_use){infos[i].pid, index, used};
	}
	return 0;
}

int ccr_nvml_list(const char *driver, struct ccr_gpu_use **uses, size_t *count)
{
	struct process_info *infos;
	unsigned int devices = 0;
	int ret;

	*uses = NULL;
	*count = 0;
	ret = load(driver);
	if (ret)
		return ret;
	if (nvml.nvmlInit_v2() != NVML_SUCCESS)
		return -EIO;
	infos = calloc(MAX_PROCESSES, sizeof(*infos));
	ret = infos ? 0 : -ENOMEM;
	if (!ret && nvml.nvmlDeviceGetCount_v2(&devices) != NVML_SUCCESS)
		ret = -EIO;
	for (unsigned int i = 0; !ret && i < devices; i++)
		ret = add_device(i, infos, uses, count);
	free(infos);
	nvml.nvmlShutdown();
	if (ret) {
		free(*uses);
		*uses = NULL;
		*count = 0;
	}
	return ret;
}
