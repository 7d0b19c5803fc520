// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "transfer/engine/engine.h"

void cuda_parallel_config_from_settings(struct cuda_parallel_config *config,
					const struct ccr_settings *settings)
{
	memset(config, 0, sizeof(*config));
	config->streams = settings->streams;
	config->chunk_bytes = (uint64_t)settings->chunk_mb << 20;
	config->verify = settings->verify;
	config->io = settings->io;
	config->scan = settings->device_scan;
}

int cuda_parallel_config_from_env(struct cuda_parallel_config *config, char *error,
				  size_t error_size)
{
	struct ccr_settings settings;
	const int ret = ccr_settings_load(&settings, NULL, error, error_size);

	if (!ret)
		cuda_parallel_config_from_settings(config, &settings);
	return ret;
}

int transfer_check_config(const struct cuda_parallel_config *config, char *error, size_t size)
{
	const uint64_t unit = 1 << 20;

	if (config->streams < 1 || config->streams > CUDA_PARALLEL_MAX_THREADS) {
		snprintf(error, size, "streams is %u; accepted: 1-%u", config->streams,
			 CUDA_PARALLEL_MAX_THREADS);
		return -EINVAL;
	}
	if (!config->chunk_bytes || config->chunk_bytes % unit ||
	    config->chunk_bytes > CCR_IMAGE_MAX_CHUNK) {
		snprintf(error, size, "chunk_bytes is %llu; accepted: 1-512 MiB, whole MiB",
			 (unsigned long long)config->chunk_bytes);
		return -EINVAL;
	}
	if (config->io > CCR_IO_MMAP || config->read_piece % CCR_IMAGE_ALIGN ||
	    config->write_piece % CCR_IMAGE_ALIGN || config->scan > CCR_SCAN_OFF) {
		snprintf(error, size, "io is %u, read_piece %u, write_piece %u, scan %u",
			 config->io, config->read_piece, config->write_piece, config->scan);
		return -EINVAL;
	}
	return 0;
}

int transfer_task_configure(struct transfer_task *task)
{
	const struct cuda_parallel_config *own = &task->engine->config;
	struct cuda_parallel_job *job = task->job;
	const struct cuda_parallel_config *config = job->config ? job->config : own;

	if (transfer_check_config(config, job->error, sizeof(job->error)))
		return -EINVAL;
	task->config = config;
	task->streams = config->streams < own->streams ? config->streams : own->streams;
	task->chunk_bytes =
		config->chunk_bytes < own->chunk_bytes ? config->chunk_bytes : own->chunk_bytes;
	return 0;
}

void cuda_parallel_cancel(struct cuda_parallel_job *job)
{
	atomic_store(&job->cancelled, 1);
}

void cuda_parallel_wake(struct cuda_parallel_engine *engine)
{
	pthread_mutex_lock(&engine->lock);
	pthread_cond_broadcast(&engine->work);
	pthread_mutex_unlock(&engine->lock);
}
