// SPDX-License-Identifier: MIT
#include "pool/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "image/image.h"
#include "transfer/transfer.h"

static pthread_mutex_t engine_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cuda_parallel_engine *engine;

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* One engine for the life of the process, made with the settings of the first run. */
static int engine_get(const struct copy_options *options, int device, char *error, size_t size)
{
	struct cuda_parallel_config config;
	int ret = 0;

	pthread_mutex_lock(&engine_lock);
	if (!engine) {
		cuda_parallel_config_from_settings(&config, &pool.settings);
		config.streams = options->streams;
		config.chunk_bytes = (uint64_t)options->chunk_mb << 20;
		config.verify = options->verify;
		config.io = options->io;
		ret = cuda_parallel_restore_init(&engine, &pool.cuda, &config, &device, 1, error,
						 size);
	}
	pthread_mutex_unlock(&engine_lock);
	return ret;
}

int copy_list_images(int images_dir, pid_t **pids, size_t *nr)
{
	/* A new open: an offset of its own. */
	const int own = openat(images_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;

	*pids = NULL;
	*nr = 0;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		const int pid = ccr_image_pid_of_name(entry->d_name);
		pid_t *more = pid > 0 ? realloc(*pids, (*nr + 1) * sizeof(**pids)) : NULL;

		if (pid <= 0)
			continue;
		if (!more) {
			free(*pids);
			closedir(dir);
			return -ENOMEM;
		}
		*pids = more;
		more[(*nr)++] = pid;
	}
	closedir(dir);
	return 0;
}

/* --- out --- */

/* Index of the device in the image; added on first use. */
static int image_device(struct ccr_image_writer *writer, int *devices, uint32_t *nr, int ordinal)
{
	struct ccr_image_device device = {0};
	uint32_t i = 0;

	while (i < *nr && devices[i] != ordinal)
		i++;
	if (i < *nr)
		return i;
	memcpy(device.uuid, pool.uuids[ordinal].bytes, sizeof(device.uuid));
	pool.cuda.cuDeviceGetName(device.name, sizeof(device.name), ordinal);
	devices[(*nr)++] = ordinal;
	return ccr_image_writer_add_device(writer, &device) ? -ENOMEM : (int)i;
}

static int describe(struct ccr_image_writer *writer, const struct held_list *list,
		    struct cuda_parallel_range *ranges)
{
	int devices[CCR_MAX_DEVICES], ret = 0;
	uint32_t nr_devices = 0;

	for (size_t i = 0; !ret && i < list->nr; i++) {
		const struct held *held = &list->entries[i];
		const int device = image_device(writer, devices, &nr_devices, held->device);
		const struct ccr_image_allocation allocation = {
			.id = held->id,
			.address = held->address,
			.size = held->size,
			.requested = held->requested,
			.device = device,
			.flags =
				held->flags & CCR_HANDLE_OWN_VMM ? CCR_IMAGE_ALLOCATION_OWN_VMM : 0,
		};

		ranges[i] = (struct cuda_parallel_range){
			.device = held->device, .address = held->mapped, .bytes = held->size};
		ret = device < 0 ? device : ccr_image_writer_add_allocation(writer, &allocation);
	}
	return ret;
}

int copy_save(int images_dir, pid_t image_pid, const struct held_list *list,
	      const struct copy_options *options, char *error, size_t size)
{
	const struct ccr_image_options image_options = {
		.nr_writers = options->streams,
		.driver_version = pool.driver.version,
		.chunk_size = (uint64_t)options->chunk_mb << 20,
	};
	struct cuda_parallel_range *ranges = calloc(list->nr + 1, sizeof(*ranges));
	struct cuda_parallel_job job = {0};
	struct ccr_image_writer *writer = NULL;
	int ret;

	if (!ranges)
		return -ENOMEM;
	ret = engine_get(options, list->nr ? list->entries[0].device : 0, error, size);
	if (!ret)
		ret = ccr_image_writer_begin(&writer, images_dir, image_pid, &image_options, error,
					     size);
	if (ret)
		goto out;
	ret = describe(writer, list, ranges);
	if (!ret)
		ret = cuda_parallel_dump_memory(engine, writer, ranges, list->nr, &job);
	if (ret) {
		snprintf(error, size, "%.250s", *job.error ? job.error : strerror(-ret));
		ccr_image_writer_abort(writer);
		goto out;
	}
	ret = ccr_image_writer_commit(writer, error, size);
out:
	free(ranges);
	return ret;
}

/* --- in --- */

static void range_ready(void *argument, uint32_t range)
{
	struct load *load = argument;

	pthread_mutex_lock(&load->lock);
	load->ready[range] = true;
	load->nr_ready++;
	pthread_cond_broadcast(&load->progress);
	pthread_mutex_unlock(&load->lock);
}

static int create_memory(struct load *load, struct cuda_parallel_range *ranges)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < load->list.nr; i++) {
		struct held *held = &load->list.entries[i];

		ret = pool_device_use(held->device);
		if (!ret)
			ret = held_create(held);
		if (ret)
			snprintf(load->error, sizeof(load->error), "%llu bytes on device %u: %s",
				 (unsigned long long)held->size, held->device, strerror(-ret));
	}
	if (!ret) {
		ret = held_map_all(&load->list);
		if (ret)
			snprintf(load->error, sizeof(load->error), "mapping: %s", strerror(-ret));
	}
	for (size_t i = 0; !ret && i < load->list.nr; i++) {
		const struct held *held = &load->list.entries[i];

		ranges[i] = (struct cuda_parallel_range){
			.device = held->device, .address = held->mapped, .bytes = held->size};
	}
	return ret;
}

static int find_devices(struct load *load)
{
	const struct ccr_image *image = load->image;

	for (size_t i = 0; i < load->list.nr; i++) {
		const struct ccr_image_device *wanted =
			&image->devices[image->allocations[i].device];
		const int device = pool_device_find(wanted->uuid);

		if (device < 0) {
			snprintf(load->error, sizeof(load->error),
				 "%s: devices: this machine has no %s with its UUID", image->name,
				 wanted->name);
			return device;
		}
		load->list.entries[i].device = device;
	}
	return 0;
}

static int load_memory(struct load *load)
{
	struct cuda_parallel_range *ranges = calloc(load->list.nr + 1, sizeof(*ranges));
	struct cuda_parallel_job job = {.ready = range_ready, .argument = load};
	int ret;

	if (!ranges)
		return -ENOMEM;
	ret = pool_device_wait(load->error, sizeof(load->error));
	if (!ret)
		ret = find_devices(load);
	if (!ret)
		ret = engine_get(&load->options, load->list.nr ? load->list.entries[0].device : 0,
				 load->error, sizeof(load->error));
	if (!ret)
		ret = create_memory(load, ranges);
	if (!ret) {
		ret = cuda_parallel_restore_memory(engine, load->image, ranges, load->list.nr,
						   &job);
		if (ret)
			snprintf(load->error, sizeof(load->error), "%.250s", job.error);
	}
	free(ranges);
	return ret;
}

static void *load_thread(void *argument)
{
	struct load *load = argument;
	const double start = now_ms();
	const int ret = load_memory(load);

	pthread_mutex_lock(&load->lock);
	load->ms = now_ms() - start;
	load->result = ret;
	load->ended = true;
	pthread_cond_broadcast(&load->progress);
	pthread_mutex_unlock(&load->lock);
	return NULL;
}

/* The list of what the image holds; no memory and no device yet. */
static int plan(struct load *load)
{
	const struct ccr_image *image = load->image;
	int ret = 0;

	for (uint32_t i = 0; !ret && i < image->nr_allocations; i++) {
		const struct ccr_image_allocation *a = &image->allocations[i];
		const struct held held = {
			.id = a->id,
			.size = a->size,
			.address = a->address,
			.requested = a->requested,
			.flags = a->flags & CCR_IMAGE_ALLOCATION_OWN_VMM ? CCR_HANDLE_OWN_VMM : 0,
			.fd = -1};

		ret = held_add(&load->list, &held);
	}
	load->ready = calloc(load->list.nr + 1, sizeof(*load->ready));
	return load->ready ? ret : -ENOMEM;
}

struct load *load_begin(int images_dir, pid_t image_pid, const struct copy_options *options,
			char *error, size_t size)
{
	struct load *load = calloc(1, sizeof(*load));

	if (!load)
		return NULL;
	load->image_pid = image_pid;
	load->options = *options;
	pthread_mutex_init(&load->lock, NULL);
	pthread_cond_init(&load->progress, NULL);
	if (!ccr_image_open(&load->image, images_dir, image_pid, error, size) && !plan(load) &&
	    !pthread_create(&load->thread, NULL, load_thread, load))
		return load;
	load->ended = true;
	load_free(load);
	return NULL;
}

void load_free(struct load *load)
{
	if (load->thread)
		pthread_join(load->thread, NULL);
	held_free_all(&load->list);
	ccr_image_close(load->image);
	free(load->ready);
	free(load);
}
