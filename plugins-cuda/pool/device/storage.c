// SPDX-License-Identifier: MIT
#include "pool/device/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(CUresult result, const char *call, pid_t pid, char *error, size_t size)
{
	snprintf(error, size, "%s of process %d: %s (%d)", call, pid, ccr_cuda_error_name(result),
		 result);
	return result == CUDA_ERROR_OUT_OF_MEMORY     ? -ENOMEM
	       : result == CUDA_ERROR_INVALID_CONTEXT ? -ENODEV
						      : -EIO;
}

static int check_driver(char *error, size_t size)
{
	if (ccr_driver_has_storage(&pool.driver))
		return 0;
	snprintf(error, size,
		 "%s has no custom storage (driver API %d); it takes driver 615 (API %d) or newer",
		 pool.driver.path, pool.driver.version, CCR_DRIVER_STORAGE_VERSION);
	return -ENODEV;
}

int storage_state(pid_t pid, CUprocessState *state, char *error, size_t size)
{
	const CUresult result = pool.driver.cuCheckpointProcessGetState(pid, state);

	return result == CUDA_SUCCESS
		       ? 0
		       : fail(result, "cuCheckpointProcessGetState", pid, error, size);
}

/* The ordinal of the device with whose context a stream belongs together. */
static int device_of(CUstream stream, int *device, char *error, size_t size)
{
	CUcontext context;
	CUresult result = pool.cuda.cuStreamGetCtx(stream, &context);

	if (result == CUDA_SUCCESS)
		result = pool.cuda.cuCtxSetCurrent(context);
	if (result == CUDA_SUCCESS)
		result = pool.cuda.cuCtxGetDevice(device);
	if (result == CUDA_SUCCESS)
		return 0;
	snprintf(error, size, "the device of mapped memory is not known: %s",
		 ccr_cuda_error_name(result));
	return -EIO;
}

static int take(struct storage *storage, const CUcheckpointCustomStorageInfo *info, char *error,
		size_t size)
{
	int ret = 0;

	storage->handle = info->handle;
	for (unsigned int i = 0; !ret && i < info->deviceCount; i++) {
		const CUcheckpointCustomStoragePerDeviceData *data = &info->perDeviceData[i];
		struct held held = {.id = i + 1,
				    .size = data->size,
				    .requested = data->size,
				    .flags = HELD_DRIVER,
				    .mapped = data->devPtr,
				    .fd = -1};
		int device = 0;

		if (!data->size)
			continue;
		ret = device_of(data->stream, &device, error, size);
		held.device = device;
		if (!ret)
			ret = held_add(&storage->list, &held);
	}
	return ret;
}

static CUresult checkpoint(pid_t pid, CUcheckpointCustomStorageInfo **info)
{
	CUcheckpointCheckpointArgs args = {.customStorageInfo_out = info};

	return pool.driver.cuCheckpointProcessCheckpoint(pid, &args);
}

/* A context on one more device, on which this process has none yet. False: there is no such. */
static bool add_context(void)
{
	for (int i = 0; i < pool.nr_devices; i++)
		if (!pool_device_is_in_use(i) && !pool_device_use(i))
			return true;
	return false;
}

/*
 * The driver wants a context on every device of the process, and nothing tells
 * which they are. A context takes time and device memory, so there is one more for
 * each refusal.
 */
int storage_checkpoint(pid_t pid, struct storage *storage, char *error, size_t size)
{
	CUcheckpointCustomStorageInfo *info = NULL;
	CUresult result = CUDA_ERROR_INVALID_CONTEXT;
	int ret = check_driver(error, size);

	if (ret)
		return ret;
	if (pool.nr_devices == 1)
		pool_device_use(0);
	do
		result = checkpoint(pid, &info);
	while (result == CUDA_ERROR_INVALID_CONTEXT && add_context());
	if (result != CUDA_SUCCESS)
		return fail(result, "cuCheckpointProcessCheckpoint", pid, error, size);
	return take(storage, info, error, size);
}

int storage_restore(pid_t pid, const struct ccr_device_map *map, const int *devices,
		    uint32_t nr_devices, struct storage *storage, char *error, size_t size)
{
	CUcheckpointCustomStorageInfo *info = NULL;
	CUcheckpointGpuPair pairs[CCR_MAX_DEVICES];
	CUcheckpointRestoreArgs args = {.gpuPairs = map->count ? pairs : NULL,
					.gpuPairsCount = map->count,
					.customStorageInfo_out = &info};
	CUresult result;
	int ret = check_driver(error, size);

	for (uint32_t i = 0; i < map->count; i++) {
		memcpy(pairs[i].oldUuid.bytes, map->pairs[i].from, sizeof(pairs[i].oldUuid.bytes));
		memcpy(pairs[i].newUuid.bytes, map->pairs[i].to, sizeof(pairs[i].newUuid.bytes));
	}
	for (uint32_t i = 0; !ret && i < nr_devices; i++) {
		ret = pool_device_use(devices[i]);
		if (ret)
			snprintf(error, size, "no context on device %d: %s", devices[i],
				 strerror(-ret));
	}
	if (ret)
		return ret;
	/* A process may have contexts on devices without memory. */
	do
		result = pool.driver.cuCheckpointProcessRestore(pid, &args);
	while (result == CUDA_ERROR_INVALID_CONTEXT && add_context());
	if (result != CUDA_SUCCESS)
		return fail(result, "cuCheckpointProcessRestore", pid, error, size);
	return take(storage, info, error, size);
}

int storage_complete(struct storage *storage, char *error, size_t size)
{
	CUresult result = CUDA_SUCCESS;

	if (storage->handle)
		result = pool.driver.cuCheckpointOperationComplete(storage->handle);
	free(storage->list.entries);
	memset(storage, 0, sizeof(*storage));
	if (result == CUDA_SUCCESS)
		return 0;
	snprintf(error, size, "cuCheckpointOperationComplete: %s", ccr_cuda_error_name(result));
	return -EIO;
}
