// SPDX-License-Identifier: MIT
#include <string.h>

#include "transfer/transfer.h"

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

void cuda_parallel_cancel(struct cuda_parallel_job *job)
{
	atomic_store(&job->cancelled, 1);
}
