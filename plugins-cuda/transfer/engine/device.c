// SPDX-License-Identifier: MIT
/* What a worker uses of the driver: contexts, streams, events, staging buffers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "transfer/engine/engine.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_PAGE (2ull << 20)

int transfer_cuda_errno(CUresult result)
{
	switch (result) {
	case CUDA_SUCCESS:
		return 0;
	case CUDA_ERROR_OUT_OF_MEMORY:
		return -ENOMEM;
	case CUDA_ERROR_NO_DEVICE:
	case CUDA_ERROR_INVALID_DEVICE:
		return -ENODEV;
	default:
		return -EIO;
	}
}

static int explain(CUresult result, const char *call, int device, char *error, size_t size)
{
	if (result != CUDA_SUCCESS)
		snprintf(error, size, "%s on device %d: %s", call, device,
			 ccr_cuda_error_name(result));
	return transfer_cuda_errno(result);
}

#define CALL(device, function, ...) \
	explain(cuda->function(__VA_ARGS__), #function, device, error, size)

int transfer_device_context(struct cuda_parallel_engine *engine, int device, CUcontext *context,
			    char *error, size_t size)
{
	struct transfer_device *d = &engine->devices[device];
	const struct ccr_cuda *cuda = engine->cuda;
	int ret = 0;

	/* A lock per device, so that workers create contexts of different devices in parallel. */
	pthread_mutex_lock(&d->lock);
	if (!d->context) {
		CUdevice handle;

		ret = CALL(device, cuDeviceGet, &handle, device);
		if (!ret)
			ret = CALL(device, cuDevicePrimaryCtxRetain, &d->context, handle);
		if (ret)
			d->context = NULL;
	}
	*context = d->context;
	pthread_mutex_unlock(&d->lock);
	return ret;
}

int transfer_device_use(struct transfer_worker *worker, int device, char *error, size_t size)
{
	const struct ccr_cuda *cuda = worker->engine->cuda;
	CUcontext context;
	int ret;

	if (worker->current_device == device)
		return 0;
	ret = transfer_device_context(worker->engine, device, &context, error, size);
	if (!ret)
		ret = CALL(device, cuCtxSetCurrent, context);
	worker->current_device = ret ? -1 : device;
	return ret;
}

int transfer_device_stream_open(struct transfer_worker *worker, int device,
				struct transfer_device_stream **out, char *error, size_t size)
{
	const unsigned int flags = CU_EVENT_DISABLE_TIMING |
				   (worker->engine->config.spin ? 0 : CU_EVENT_BLOCKING_SYNC);
	const struct ccr_cuda *cuda = worker->engine->cuda;
	struct transfer_device_stream *stream = &worker->device_streams[device];
	int ret;

	*out = stream;
	ret = transfer_device_use(worker, device, error, size);
	if (!ret && !stream->stream)
		ret = CALL(device, cuStreamCreate, &stream->stream, CU_STREAM_NON_BLOCKING);
	for (int i = 0; !ret && i < TRANSFER_SLOTS; i++)
		if (!stream->events[i])
			ret = CALL(device, cuEventCreate, &stream->events[i], flags);
	return ret;
}

/*
 * Page-aligned memory, in huge pages if the kernel has them, because the driver
 * then has fewer pages to pin. The thread that will use it touches it here.
 */
static int map_staging(struct transfer_worker *worker, size_t bytes)
{
	const size_t room = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE + HUGE_PAGE;
	char *memory, *aligned;

	memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	aligned = (char *)(((uintptr_t)memory + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	if (aligned != memory)
		munmap(memory, aligned - memory);
	munmap(aligned + room - HUGE_PAGE, memory + HUGE_PAGE - aligned);
	worker->staging = aligned;
	worker->staging_bytes = room - HUGE_PAGE;
	madvise(aligned, worker->staging_bytes, MADV_HUGEPAGE);
	if (madvise(aligned, worker->staging_bytes, MADV_POPULATE_WRITE))
		memset(aligned, 0, worker->staging_bytes);
	return 0;
}

int transfer_worker_init(struct transfer_worker *worker, char *error, size_t size)
{
	const struct cuda_parallel_engine *engine = worker->engine;
	const struct ccr_cuda *cuda = engine->cuda;
	const uint64_t slot_bytes = engine->config.chunk_bytes;
	struct transfer_device_stream *stream;
	int first, ret;

	ret = map_staging(worker, TRANSFER_SLOTS * slot_bytes);
	if (ret) {
		snprintf(error, size, "cannot allocate staging buffers of %llu bytes: %s",
			 (unsigned long long)(TRANSFER_SLOTS * slot_bytes), strerror(-ret));
		return ret;
	}
	for (int i = 0; i < TRANSFER_SLOTS; i++)
		worker->slots[i].buffer = worker->staging + i * slot_bytes;
	first = worker->number % engine->nr_setup_devices;
	ret = transfer_device_use(worker, engine->setup_devices[first], error, size);
	if (ret)
		return ret;
	ret = CALL(worker->current_device, cuMemHostRegister_v2, worker->staging,
		   worker->staging_bytes, CU_MEMHOSTREGISTER_PORTABLE);
	if (ret)
		return ret;
	worker->is_registered = true;
	for (uint32_t i = 0; !ret && i < engine->nr_setup_devices; i++)
		ret = transfer_device_stream_open(
			worker, engine->setup_devices[(first + i) % engine->nr_setup_devices],
			&stream, error, size);
	return ret;
}

void transfer_worker_fini(struct transfer_worker *worker)
{
	const struct ccr_cuda *cuda = worker->engine->cuda;
	char ignored[128];

	if (!worker->number)
		transfer_scan_unload(worker);
	for (int d = 0; d < CUDA_PARALLEL_MAX_DEVICES; d++) {
		struct transfer_device_stream *stream = &worker->device_streams[d];

		if (!stream->stream || transfer_device_use(worker, d, ignored, sizeof(ignored)))
			continue;
		for (int i = 0; i < TRANSFER_SLOTS; i++)
			if (stream->events[i])
				cuda->cuEventDestroy_v2(stream->events[i]);
		cuda->cuStreamDestroy_v2(stream->stream);
	}
	if (worker->is_registered)
		cuda->cuMemHostUnregister(worker->staging);
	if (worker->staging)
		munmap(worker->staging, worker->staging_bytes);
	ccr_io_queue_end(&worker->io_queue);
}
