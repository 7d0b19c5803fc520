// SPDX-License-Identifier: MIT
// Settings and cuInit.
#include "impl.h"
#include "control.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	pthread_once_t once;
	struct ccr_soft_settings settings;
	pthread_mutex_t lock;
	atomic_bool is_done;
} init = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static bool read_number(const char *name, uint64_t low, uint64_t high, uint64_t preset,
			uint64_t *value)
{
	const char *text = getenv(name);
	unsigned long long number;
	char *end;

	*value = preset;
	if (!text || !*text)
		return true;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (*end || errno || *text == '-' || number < low || number > high) {
		fprintf(stderr, "softcuda: %s=%s: expected a number from %llu to %llu\n", name,
			text, (unsigned long long)low, (unsigned long long)high);
		return false;
	}
	*value = number;
	return true;
}

static void read_settings(void)
{
	struct ccr_soft_settings *s = &init.settings;
	const char *dir = getenv("SOFTCUDA_DIR");
	uint64_t devices, megabytes, version;
	int length;

	s->valid = read_number("SOFTCUDA_DEVICES", 0, CCR_MAX_DEVICES, 1, &devices);
	s->valid &= read_number("SOFTCUDA_MEMORY_MB", 2, 4u << 20, 1024, &megabytes);
	s->valid &= read_number("SOFTCUDA_DRIVER_VERSION", 12080, 99990, 13000, &version);
	s->nr_devices = (int)devices;
	s->memory_bytes = megabytes * CCR_MIB;
	s->driver_version = (int)version;
	s->dir_is_preset = !dir || !*dir;
	if (!s->dir_is_preset)
		length = snprintf(s->dir, sizeof(s->dir), "%s", dir);
	else
		length = snprintf(s->dir, sizeof(s->dir), "/dev/shm/softcuda-%u", geteuid());
	if (length >= (int)sizeof(s->dir)) {
		fprintf(stderr, "softcuda: SOFTCUDA_DIR is longer than %zu bytes\n",
			sizeof(s->dir) - 1);
		s->valid = false;
	}
}

const struct ccr_soft_settings *ccr_soft_settings(void)
{
	pthread_once(&init.once, read_settings);
	return &init.settings;
}

bool ccr_soft_initialised(void)
{
	// The control page is wiped in a forked child: the flag alone would be inherited.
	return atomic_load(&init.is_done) && ccr_control_is_live();
}

static CUresult open_devices(void)
{
	CUresult result;

	result = ccr_backing_open_all();
	if (result != CUDA_SUCCESS)
		fprintf(stderr, "softcuda: cannot use %s: %s\n", ccr_soft_settings()->dir,
			strerror(errno));
	if (result == CUDA_SUCCESS)
		result = ccr_control_start();
	if (result != CUDA_SUCCESS)
		ccr_backing_close_all();
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
	// No sentences: programs print this, nobody parses it.
	return SOFT(cuGetErrorName)(error, str);
}
