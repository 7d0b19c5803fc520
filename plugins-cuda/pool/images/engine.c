// SPDX-License-Identifier: MIT
#include "pool/images/engine.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cuda_parallel_engine *the_engine;
static struct cuda_parallel_staging *the_staging; /* for the engine that is to come */

static struct cuda_parallel_config new_config(const struct copy_options *options)
{
	struct cuda_parallel_config config;

	cuda_parallel_config_from_settings(&config, &pool.settings);
	config.streams = options->streams;
	config.chunk_bytes = (uint64_t)options->chunk_mb << 20;
	return config;
}

void engine_prepare(const struct copy_options *options)
{
	const struct cuda_parallel_config config = new_config(options);

	pthread_mutex_lock(&lock);
	if (!the_engine && !the_staging)
		the_staging = cuda_parallel_staging_begin(&config);
	pthread_mutex_unlock(&lock);
}

int engine_get(struct cuda_parallel_engine **engine, const struct copy_options *options,
	       const int *devices, uint32_t nr_devices, char *error, size_t size)
{
	const struct cuda_parallel_config config = new_config(options);
	int ret = 0;

	pthread_mutex_lock(&lock);
	if (!the_engine) {
		ret = cuda_parallel_engine_new(&the_engine, &pool.cuda, &config, the_staging,
					       devices, nr_devices, error, size);
		the_staging = NULL;
	}
	*engine = the_engine;
	pthread_mutex_unlock(&lock);
	return ret;
}

struct cuda_parallel_config engine_config(const struct cuda_parallel_engine *engine,
					  const struct copy_options *options,
					  struct copy_progress *copied)
{
	struct cuda_parallel_config config = *cuda_parallel_engine_config(engine);
	const uint64_t chunk_bytes = (uint64_t)options->chunk_mb << 20;

	if (options->streams && options->streams < config.streams)
		config.streams = options->streams;
	if (chunk_bytes && chunk_bytes < config.chunk_bytes)
		config.chunk_bytes = chunk_bytes;
	atomic_store(&copied->streams, config.streams);
	atomic_store(&copied->chunk_mb, config.chunk_bytes >> 20);
	config.verify = options->verify;
	config.io = options->io;
	return config;
}

void engine_size(uint32_t *streams, uint64_t *staging_bytes)
{
	pthread_mutex_lock(&lock);
	*streams = the_engine ? cuda_parallel_engine_config(the_engine)->streams : 0;
	*staging_bytes = the_engine ? cuda_parallel_engine_staging(the_engine) : 0;
	pthread_mutex_unlock(&lock);
}

struct copy_options engine_own_options(void)
{
	return (struct copy_options){.streams = pool.settings.streams,
				     .chunk_mb = pool.settings.chunk_mb,
				     .verify = pool.settings.verify,
				     .io = pool.settings.io,
				     .mode = pool.settings.handover,
				     .earlier = -1};
}
