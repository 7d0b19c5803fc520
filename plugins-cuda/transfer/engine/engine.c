// SPDX-License-Identifier: MIT
/* Creates and frees an engine. */
#include "transfer/engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_devices(struct cuda_parallel_engine *engine, const int *devices,
			 uint32_t nr_devices, char *error, size_t size)
{
	const CUresult result = engine->cuda->cuDeviceGetCount(&engine->nr_devices);

	if (result != CUDA_SUCCESS) {
		snprintf(error, size, "cannot count the devices: cuDeviceGetCount: %s",
			 ccr_cuda_error_name(result));
		return transfer_cuda_errno(result);
	}
	if (engine->nr_devices > CUDA_PARALLEL_MAX_DEVICES)
		engine->nr_devices = CUDA_PARALLEL_MAX_DEVICES;
	if (!nr_devices || nr_devices > CUDA_PARALLEL_MAX_DEVICES) {
		snprintf(error, size, "%u devices; accepted: 1-%u", nr_devices,
			 CUDA_PARALLEL_MAX_DEVICES);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < nr_devices; i++) {
		if (devices[i] < 0 || devices[i] >= engine->nr_devices) {
			snprintf(error, size, "device %d does not exist; there are %d", devices[i],
				 engine->nr_devices);
			return -ENODEV;
		}
		engine->setup_devices[i] = devices[i];
	}
	engine->nr_setup_devices = nr_devices;
	return 0;
}

static int start_workers(struct cuda_parallel_engine *engine, char *error, size_t size)
{
	sigset_t all, before;
	int ret = 0;

	/* Block all signals in engine threads, so that the program's own threads receive them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!ret && engine->nr_workers < engine->config.streams) {
		struct transfer_worker *worker = &engine->workers[engine->nr_workers];

		worker->engine = engine;
		worker->number = engine->nr_workers;
		worker->current_device = -1;
		ret = -pthread_create(&worker->thread, NULL, transfer_worker_run, worker);
		if (!ret)
			engine->nr_workers++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret)
		snprintf(error, size, "cannot start a transfer thread: %s", strerror(-ret));
	pthread_mutex_lock(&engine->lock);
	while (engine->nr_ready < engine->nr_workers)
		pthread_cond_wait(&engine->ready, &engine->lock);
	pthread_mutex_unlock(&engine->lock);
	if (!ret && engine->setup_result) {
		ret = engine->setup_result;
		snprintf(error, size, "%s", engine->setup_error);
	}
	return ret;
}

static int take_staging(struct cuda_parallel_engine *engine, struct cuda_parallel_staging *staging,
			char *error, size_t size)
{
	const struct cuda_parallel_config *config = &engine->config;

	if (staging && !transfer_staging_fits(staging, config)) {
		cuda_parallel_staging_end(staging);
		staging = NULL;
	}
	engine->staging = staging ? staging : cuda_parallel_staging_begin(config);
	if (engine->staging)
		return 0;
	snprintf(error, size, "cannot allocate staging buffers of %llu bytes: %s",
		 (unsigned long long)(config->streams * TRANSFER_SLOTS * config->chunk_bytes),
		 strerror(ENOMEM));
	return -ENOMEM;
}

int cuda_parallel_restore_init(struct cuda_parallel_engine **out, const struct ccr_cuda *cuda,
			       const struct cuda_parallel_config *config, const int *devices,
			       uint32_t nr_devices, char *error, size_t error_size)
{
	return cuda_parallel_engine_new(out, cuda, config, NULL, devices, nr_devices, error,
					error_size);
}

int cuda_parallel_engine_new(struct cuda_parallel_engine **out, const struct ccr_cuda *cuda,
			     const struct cuda_parallel_config *config,
			     struct cuda_parallel_staging *staging, const int *devices,
			     uint32_t nr_devices, char *error, size_t error_size)
{
	struct cuda_parallel_engine *engine = NULL;
	int ret;

	ret = transfer_check_config(config, error, error_size);
	if (!ret) {
		engine = calloc(1, sizeof(*engine));
		ret = engine ? 0 : -ENOMEM;
		if (ret)
			snprintf(error, error_size, "out of memory");
	}
	if (ret) {
		cuda_parallel_staging_end(staging);
		return ret;
	}
	engine->cuda = cuda;
	engine->config = *config;
	pthread_mutex_init(&engine->lock, NULL);
	pthread_cond_init(&engine->work, NULL);
	pthread_cond_init(&engine->ready, NULL);
	for (int i = 0; i < CUDA_PARALLEL_MAX_DEVICES; i++)
		pthread_mutex_init(&engine->devices[i].lock, NULL);
	ret = take_staging(engine, staging, error, error_size);
	if (!ret)
		ret = check_devices(engine, devices, nr_devices, error, error_size);
	if (!ret) {
		/* The checksum state needs a larger alignment than malloc's. */
		engine->workers = aligned_alloc(alignof(struct transfer_worker),
						config->streams * sizeof(*engine->workers));
		if (!engine->workers) {
			snprintf(error, error_size, "out of memory");
			ret = -ENOMEM;
		}
	}
	if (!ret) {
		memset(engine->workers, 0, config->streams * sizeof(*engine->workers));
		ret = start_workers(engine, error, error_size);
	}
	if (ret)
		cuda_parallel_restore_fini(engine);
	else
		*out = engine;
	return ret;
}

const struct cuda_parallel_config *
cuda_parallel_engine_config(const struct cuda_parallel_engine *engine)
{
	return &engine->config;
}

uint64_t cuda_parallel_engine_staging(const struct cuda_parallel_engine *engine)
{
	return engine->staging->bytes;
}

void cuda_parallel_restore_fini(struct cuda_parallel_engine *engine)
{
	if (!engine)
		return;
	pthread_mutex_lock(&engine->lock);
	engine->is_ending = true;
	pthread_cond_broadcast(&engine->work);
	pthread_mutex_unlock(&engine->lock);
	for (uint32_t i = 0; i < engine->nr_workers; i++)
		pthread_join(engine->workers[i].thread, NULL);
	cuda_parallel_staging_end(engine->staging);
	for (int i = 0; i < CUDA_PARALLEL_MAX_DEVICES; i++) {
		CUdevice device;

		if (engine->devices[i].context &&
		    engine->cuda->cuDeviceGet(&device, i) == CUDA_SUCCESS)
			engine->cuda->cuDevicePrimaryCtxRelease_v2(device);
		pthread_mutex_destroy(&engine->devices[i].lock);
	}
	pthread_mutex_destroy(&engine->lock);
	pthread_cond_destroy(&engine->work);
	pthread_cond_destroy(&engine->ready);
	free(engine->workers);
	free(engine);
}
