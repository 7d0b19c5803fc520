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
	    config->write_piece % CCR_IMAGE_ALIGN) {
		snprintf(error, size, "io is %u, read_piece %u, write_piece %u", config->io,
			 config->read_piece, config->write_piece);
		return -EINVAL;
	}
	return 0;
}

const struct cuda_parallel_config *transfer_job_config(struct cuda_parallel_engine *engine,
						       struct cuda_parallel_job *job)
{
	if (!job->config)
		return &engine->config;
	return transfer_check_config(job->config, job->error, sizeof(job->error)) ? NULL
										  : job->config;
}

void cuda_parallel_cancel(struct cuda_parallel_job *job)
{
	atomic_store(&job->cancelled, 1);
}
