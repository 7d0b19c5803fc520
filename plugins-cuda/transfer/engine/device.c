// SPDX-License-Identifier: MIT
/* What a worker uses of the driver: contexts, streams, events, staging buffers. */
#include <errno.h>
#include <stdio.h>

#include "transfer/engine/engine.h"

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

int transfer_worker_init(struct transfer_worker *worker, char *error, size_t size)
{
	const struct cuda_parallel_engine *engine = worker->engine;
	const struct ccr_cuda *cuda = engine->cuda;
	const uint32_t nr = engine->nr_setup_devices, first = worker->number % nr;
	struct transfer_device_stream *stream;
	int ret;

	for (int i = 0; i < TRANSFER_SLOTS; i++)
		worker->slots[i].buffer = transfer_staging_part(engine->staging, worker->number) +
					  i * engine->config.chunk_bytes;
	ret = transfer_device_use(worker, engine->setup_devices[first], error, size);
	/* One call for the buffers of all workers, while the others create their streams. */
	if (!ret && !worker->number) {
		transfer_staging_wait(engine->staging);
		ret = explain(transfer_staging_register(cuda, engine->staging),
			      "cuMemHostRegister_v2", worker->current_device, error, size);
	}
	for (uint32_t i = 0; !ret && i < nr; i++)
		ret = transfer_device_stream_open(worker, engine->setup_devices[(first + i) % nr],
						  &stream, error, size);
	return ret;
}

void transfer_worker_fini(struct transfer_worker *worker)
{
	const struct ccr_cuda *cuda = worker->engine->cuda;
	char ignored[128];

	if (!worker->number)
		transfer_scan_unload(worker);
	/* It is the one that registered them, and no job uses them any more. */
	if (!worker->number)
		transfer_staging_unregister(cuda, worker->engine->staging);
	for (int d = 0; d < CUDA_PARALLEL_MAX_DEVICES; d++) {
		struct transfer_device_stream *stream = &worker->device_streams[d];

		if (!stream->stream || transfer_device_use(worker, d, ignored, sizeof(ignored)))
			continue;
		for (int i = 0; i < TRANSFER_SLOTS; i++)
			if (stream->events[i])
				cuda->cuEventDestroy_v2(stream->events[i]);
		cuda->cuStreamDestroy_v2(stream->stream);
	}
	ccr_io_queue_end(&worker->io_queue);
}
