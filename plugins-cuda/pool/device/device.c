// SPDX-License-Identifier: MIT
/* Device memory that the pool holds: contexts, import, export, mapping. */
#include "pool/device/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t context_lock = PTHREAD_MUTEX_INITIALIZER;

/* Logs a failed call. Only this function converts a CUresult to an errno. */
static int checked(CUresult result, const char *call)
{
	if (result == CUDA_SUCCESS)
		return 0;
	ccr_err("%s: %s", call, ccr_cuda_error_name(result));
	return result == CUDA_ERROR_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

#define CALL(function, ...) checked(pool.cuda.function(__VA_ARGS__), #function)

static int init_driver(char *error, size_t size)
{
	CUdevice device;
	int ret;

	ret = ccr_driver_open(&pool.driver, pool.settings.driver, error, size);
	if (!ret)
		ret = ccr_cuda_load(&pool.cuda, &pool.driver, error, size);
	if (ret)
		return ret;
	ret = CALL(cuInit, 0);
	if (!ret)
		ret = CALL(cuDeviceGetCount, &pool.nr_devices);
	if (pool.nr_devices > CCR_MAX_DEVICES)
		pool.nr_devices = CCR_MAX_DEVICES;
	for (int i = 0; !ret && i < pool.nr_devices; i++) {
		ret = CALL(cuDeviceGet, &device, i);
		if (!ret)
			ret = CALL(cuDeviceGetUuid_v2, &pool.uuids[i], device);
	}
	if (ret)
		snprintf(error, size, "cannot initialize the CUDA driver: %s", strerror(-ret));
	return ret;
}

static struct {
	pthread_mutex_t lock;
	pthread_t thread;
	bool joined;
	int result;
	char error[256];
} start = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *start_thread(void *unused)
{
	start.result = init_driver(start.error, sizeof(start.error));
	return NULL;
}

void pool_device_begin(void)
{
	if (!pthread_create(&start.thread, NULL, start_thread, NULL))
		return;
	start_thread(NULL);
	start.joined = true;
}

int pool_device_wait(char *error, size_t size)
{
	pthread_mutex_lock(&start.lock);
	if (!start.joined)
		pthread_join(start.thread, NULL);
	start.joined = true;
	pthread_mutex_unlock(&start.lock);
	if (start.result)
		snprintf(error, size, "%s", start.error);
	return start.result;
}

int pool_device_use(int device)
{
	int ret = 0;

	pthread_mutex_lock(&context_lock);
	if (!pool.contexts[device])
		ret = CALL(cuDevicePrimaryCtxRetain, &pool.contexts[device], device);
	pthread_mutex_unlock(&context_lock);
	return ret ? ret : CALL(cuCtxSetCurrent, pool.contexts[device]);
}

bool pool_device_is_in_use(int device)
{
	bool is_in_use;

	pthread_mutex_lock(&context_lock);
	is_in_use = pool.contexts[device];
	pthread_mutex_unlock(&context_lock);
	return is_in_use;
}

int pool_device_find(const uint8_t uuid[16])
{
	for (int i = 0; i < pool.nr_devices; i++)
		if (!memcmp(pool.uuids[i].bytes, uuid, 16))
			return i;
	return -ENODEV;
}

int pool_device_memory(int device, size_t *free_bytes, size_t *total_bytes)
{
	const int ret = pool_device_use(device);

	return ret ? ret : CALL(cuMemGetInfo_v2, free_bytes, total_bytes);
}

int held_add(struct held_list *list, const struct held *held)
{
	if (list->nr == list->room) {
		const size_t room = list->room ? 2 * list->room : 64;
		struct held *entries = realloc(list->entries, room * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		list->entries = entries;
		list->room = room;
	}
	list->entries[list->nr++] = *held;
	list->bytes += held->size;
	return 0;
}

static int map_arena(struct held_list *list, size_t first, size_t end, struct arena *arena)
{
	const CUmemAccessDesc access = {
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE,
			     .id = list->entries[first].device},
		.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
	};
	CUdeviceptr address;
	int ret;

	for (size_t i = first; i < end; i++)
		arena->bytes += list->entries[i].size;
	ret = pool_device_use(list->entries[first].device);
	if (!ret)
		ret = CALL(cuMemAddressReserve, &arena->base, arena->bytes, 0, 0, 0);
	address = arena->base;
	for (size_t i = first; !ret && i < end; i++) {
		struct held *held = &list->entries[i];

		ret = CALL(cuMemMap, address, held->size, 0, held->handle, 0);
		if (!ret)
			held->mapped = address;
		address += held->size;
	}
	return ret ? ret : CALL(cuMemSetAccess, arena->base, arena->bytes, &access, 1);
}

int held_map_all(struct held_list *list)
{
	int ret = 0;

	list->arenas = calloc(list->nr + 1, sizeof(*list->arenas));
	if (!list->arenas)
		return -ENOMEM;
	for (size_t first = 0, end; !ret && first < list->nr; first = end) {
		for (end = first + 1; end < list->nr; end++)
			if (list->entries[end].device != list->entries[first].device)
				break;
		ret = map_arena(list, first, end, &list->arenas[list->nr_arenas++]);
	}
	if (ret)
		held_unmap_all(list);
	return ret;
}

void held_unmap_all(struct held_list *list)
{
	for (size_t i = 0; i < list->nr; i++) {
		struct held *held = &list->entries[i];

		if (held->mapped)
			CALL(cuMemUnmap, held->mapped, held->size);
		held->mapped = 0;
	}
	for (size_t i = 0; i < list->nr_arenas; i++)
		if (list->arenas[i].base)
			CALL(cuMemAddressFree, list->arenas[i].base, list->arenas[i].bytes);
	free(list->arenas);
	list->arenas = NULL;
	list->nr_arenas = 0;
}

static int counted(const struct held *held, int ret)
{
	if (!ret)
		atomic_fetch_add(&pool.memory_bytes[held->device], held->size);
	return ret;
}

int held_import(struct held *held)
{
	return counted(held,
		       CALL(cuMemImportFromShareableHandle, &held->handle,
			    (void *)(intptr_t)held->fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
}

int held_create(struct held *held)
{
	const CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = held->device},
	};

	return counted(held, CALL(cuMemCreate, &held->handle, held->size, &prop, 0));
}

int held_export(struct held *held)
{
	return held->fd >= 0 ? 0
			     : CALL(cuMemExportToShareableHandle, &held->fd, held->handle,
				    CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
}

void held_release(struct held *held)
{
	CALL(cuMemRelease, held->handle);
	atomic_fetch_sub(&pool.memory_bytes[held->device], held->size);
	held->handle = 0;
}

void held_free_all(struct held_list *list)
{
	held_unmap_all(list);
	for (size_t i = 0; i < list->nr; i++) {
		struct held *held = &list->entries[i];

		if (!held->handle) /* planned, not created yet */
			continue;
		held_release(held);
		if (held->fd >= 0)
			close(held->fd);
	}
	free(list->entries);
	memset(list, 0, sizeof(*list));
}
