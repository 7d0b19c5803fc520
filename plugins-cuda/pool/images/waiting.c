// SPDX-License-Identifier: MIT
#include "pool/images/waiting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pool/images/store.h"

/* Kept free on each device for the driver and the process. */
#define SPARE_BYTES (64ull << 20)

bool waiting_has_room(const uint64_t *bytes_on)
{
	for (int device = 0; device < pool.nr_devices; device++) {
		size_t free_bytes, total_bytes;

		if (bytes_on[device] && (pool_device_memory(device, &free_bytes, &total_bytes) ||
					 free_bytes < 2 * bytes_on[device] + SPARE_BYTES))
			return false;
	}
	return true;
}

/* ---- host memory ---- */

static int allocate(struct load *load)
{
	const uint64_t bytes = load->list.bytes;
	char reason[256];

	for (size_t i = 0; i < load->list.nr; i++) {
		load->list.entries[i].offset = load->host_bytes;
		load->host_bytes += load->list.entries[i].size;
	}
	if (!bytes)
		return 0;
	if (store_host_has_room(bytes, reason, sizeof(reason))) {
		snprintf(load->error, sizeof(load->error),
			 "%s: the devices have no room for it, and %s", load->image->name, reason);
		return -ENOMEM;
	}
	load->host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (load->host != MAP_FAILED)
		return 0;
	load->host = NULL;
	snprintf(load->error, sizeof(load->error), "cannot map %llu bytes of host memory: %s",
		 (unsigned long long)bytes, strerror(errno));
	return -ENOMEM;
}

/* Without it, the driver copies through its own buffers. */
static void pin(struct load *load)
{
	CUresult result = CUDA_ERROR_INVALID_CONTEXT;

	if (!pool_device_use(load->list.entries[0].device))
		result = pool.cuda.cuMemHostRegister_v2(load->host, load->host_bytes,
							CU_MEMHOSTREGISTER_PORTABLE);
	load->is_registered = result == CUDA_SUCCESS;
	if (!load->is_registered)
		ccr_warn("%d: its image is not in pinned memory: %s", load->image_pid,
			 ccr_cuda_error_name(result));
}

int waiting_read(struct load *load)
{
	char **into = calloc(load->list.nr + 1, sizeof(*into));
	int ret = into ? allocate(load) : -ENOMEM;

	load->copied.allocated = now_ms();
	for (size_t i = 0; !ret && i < load->list.nr; i++)
		into[i] = load->host + load->list.entries[i].offset;
	if (!ret && load->host)
		ret = ccr_image_read(load->image, into, load->options.verify, load->options.streams,
				     load->error, sizeof(load->error));
	free(into);
	if (ret || !load->host)
		return ret;
	atomic_store(&load->copied.done_bytes, load->list.bytes);
	pin(load);
	return 0;
}

void waiting_free(struct load *load)
{
	if (load->is_registered && !pool_device_use(0))
		pool.cuda.cuMemHostUnregister(load->host);
	if (load->host)
		munmap(load->host, load->host_bytes);
}

/* ---- to the process ---- */

static CUresult copy_one(const struct load *load, const struct held *from, const struct held *to,
			 CUstream stream)
{
	if (load->host)
		return pool.cuda.cuMemcpyHtoDAsync_v2(to->mapped, load->host + from->offset,
						      from->size, stream);
	return pool.cuda.cuMemcpyDtoDAsync_v2(
		to->mapped, load->slabs.entries[from->whole].mapped + from->offset, from->size,
		stream);
}

static int failed(const struct held *entry, CUresult result, char *error, size_t size)
{
	snprintf(error, size, "copy of %llu bytes to device %u: %s",
		 (unsigned long long)entry->size, entry->device, ccr_cuda_error_name(result));
	return -EIO;
}

/* Begins the copy of one entry; the device's context is current afterwards. */
static int begin(const struct load *load, const struct held *from, const struct storage *storage,
		 CUstream *stream, char *error, size_t size)
{
	const struct held *to = store_mapped_on(storage, from->device);
	CUresult result = CUDA_ERROR_INVALID_CONTEXT;

	if (!to || to->size != from->size) {
		snprintf(error, size,
			 "the image has %llu bytes of device %u, but the driver maps %llu there",
			 (unsigned long long)from->size, from->device,
			 to ? (unsigned long long)to->size : 0);
		return -EINVAL;
	}
	if (!pool_device_use(from->device))
		result = pool.cuda.cuStreamCreate(stream, CU_STREAM_NON_BLOCKING);
	if (result == CUDA_SUCCESS)
		result = copy_one(load, from, to, *stream);
	return result == CUDA_SUCCESS ? 0 : failed(from, result, error, size);
}

static int end(const struct held *entry, CUstream stream, char *error, size_t size)
{
	CUresult result = CUDA_ERROR_INVALID_CONTEXT;

	if (!stream)
		return 0;
	if (!pool_device_use(entry->device))
		result = pool.cuda.cuStreamSynchronize(stream);
	pool.cuda.cuStreamDestroy_v2(stream);
	return result == CUDA_SUCCESS ? 0 : failed(entry, result, error, size);
}

int waiting_copy(const struct load *load, const struct storage *storage,
		 struct copy_progress *copied, char *error, size_t size)
{
	CUstream streams[CCR_MAX_DEVICES] = {NULL};
	const size_t nr = load->list.nr;
	char late[256];
	int ret = 0;

	if (nr != storage->list.nr || nr > CCR_MAX_DEVICES) {
		snprintf(error, size, "the image has memory of %zu devices, the driver maps %zu",
			 nr, storage->list.nr);
		return -EINVAL;
	}
	atomic_store(&copied->total_bytes, load->list.bytes);
	/* The devices copy at the same time, one allocation each. */
	for (size_t i = 0; !ret && i < nr; i++)
		ret = begin(load, &load->list.entries[i], storage, &streams[i], error, size);
	for (size_t i = 0; i < nr; i++) {
		const int ended = end(&load->list.entries[i], streams[i], late, sizeof(late));

		if (!ret && ended)
			snprintf(error, size, "%s", late);
		ret = ret ? ret : ended;
	}
	if (!ret)
		atomic_store(&copied->done_bytes, load->list.bytes);
	return ret;
}
