// SPDX-License-Identifier: MIT
// cuInit.
#include "softcuda/impl.h"
#include "softcuda/checkpoint/checkpoint.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
	pthread_mutex_t lock;
	atomic_bool is_done;
} init = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool ccr_soft_initialized(void)
{
	// A forked child inherits the flag, but its control page is wiped.
	return atomic_load(&init.is_done) && ccr_control_is_live();
}

// A forked child keeps the device file, as on hardware, but has no part in the memory.
static void in_child(void)
{
	ccr_phys_close_all();
	ccr_mem_unlock();
}

static CUresult open_devices(void)
{
	CUresult result;

	if (pthread_atfork(ccr_mem_lock, ccr_mem_unlock, in_child))
		return CUDA_ERROR_OUT_OF_MEMORY;
	result = ccr_backing_open_all();
	if (result != CUDA_SUCCESS)
		fprintf(stderr, "softcuda: cannot use %s: %s\n", ccr_soft_settings()->dir,
			strerror(errno));
	if (result == CUDA_SUCCESS)
		result = ccr_host_state_create();
	if (result == CUDA_SUCCESS)
		result = ccr_control_start();
	if (result != CUDA_SUCCESS)
		ccr_backing_close_all();
	else
		ccr_node_open();
	return result;
}

CUresult SOFT(cuInit)(unsigned int flags)
{
	CUresult result = CUDA_SUCCESS;

	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&init.lock);
	if (atomic_load(&init.is_done)) {
		pthread_mutex_unlock(&init.lock);
		if (!ccr_control_is_live())
			return CUDA_ERROR_NOT_INITIALIZED;
		ccr_gate_enter();
		ccr_gate_leave();
		return CUDA_SUCCESS;
	}
	if (!ccr_soft_settings()->valid)
		result = CUDA_ERROR_INVALID_VALUE;
	else if (!ccr_soft_settings()->nr_devices)
		result = CUDA_ERROR_NO_DEVICE;
	else
		result = open_devices();
	if (result == CUDA_SUCCESS)
		atomic_store(&init.is_done, true);
	pthread_mutex_unlock(&init.lock);
	return result;
}

CUresult SOFT(cuDriverGetVersion)(int *version)
{
	if (!version)
		return CUDA_ERROR_INVALID_VALUE;
	*version = ccr_soft_settings()->driver_version;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuGetErrorName)(CUresult error, const char **str)
{
	const char *name = ccr_cuda_error_name(error);

	if (!str)
		return CUDA_ERROR_INVALID_VALUE;
	*str = strchr(name, '<') ? NULL : name;
	return *str ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult SOFT(cuGetErrorString)(CUresult error, const char **str)
{
	// The name is enough: programs only print this.
	return SOFT(cuGetErrorName)(error, str);
}
