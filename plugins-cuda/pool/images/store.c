// SPDX-License-Identifier: MIT
#include "pool/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/machine/memory.h"
#include "common/protocol/device_map.h"

/* Left for everything else when a copy is kept in host memory. */
#define SPARE_BYTES (256ull << 20)

int store_devices(const struct ccr_image *image, const struct copy_options *options, int *devices,
		  char *error, size_t size)
{
	for (uint32_t i = 0; i < image->nr_devices; i++) {
		const struct ccr_image_device *wanted = &image->devices[i];

		devices[i] = pool_device_find(ccr_device_map_find(&options->map, wanted->uuid));
		if (devices[i] >= 0)
			continue;
		snprintf(error, size,
			 "%s: devices: this machine has no %s with its UUID; name another device "
			 "in CRIU_CUDA_DEVICE_MAP",
			 image->name, wanted->name);
		return -ENODEV;
	}
	return 0;
}

int store_prepare(const int *devices, uint32_t nr_devices, const struct copy_options *options,
		  char *error, size_t size)
{
	struct cuda_parallel_engine *engine;

	return nr_devices ? engine_get(&engine, options, devices, nr_devices, error, size) : 0;
}

const struct held *store_mapped_on(const struct storage *storage, int device)
{
	for (size_t i = 0; i < storage->list.nr; i++)
		if ((int)storage->list.entries[i].device == device)
			return &storage->list.entries[i];
	return NULL;
}

/* Where each allocation of the image is mapped. */
static int find_ranges(const struct ccr_image *image, const struct storage *storage,
		       const int *devices, struct cuda_parallel_range *ranges, char *error,
		       size_t size)
{
	if (image->nr_allocations != storage->list.nr) {
		snprintf(error, size,
			 "%s has memory of %u devices, but the driver maps memory of %zu",
			 image->name, image->nr_allocations, storage->list.nr);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < image->nr_allocations; i++) {
		const struct ccr_image_allocation *a = &image->allocations[i];
		const struct held *held = store_mapped_on(storage, devices[a->device]);

		if (!held || held->size != a->size) {
			snprintf(error, size,
				 "%s has %llu bytes of %s, but the driver maps %llu there",
				 image->name, (unsigned long long)a->size,
				 image->devices[a->device].name,
				 held ? (unsigned long long)held->size : 0);
			return -EINVAL;
		}
		ranges[i] = (struct cuda_parallel_range){
			.device = held->device, .address = held->mapped, .bytes = held->size};
	}
	return 0;
}

static void progressed(void *argument, uint64_t done_bytes, uint64_t total_bytes)
{
	struct copy_progress *copied = argument;

	(void)total_bytes;
	atomic_store(&copied->done_bytes, done_bytes);
}

int store_load(const struct ccr_image *image, const struct storage *storage,
	       const struct copy_options *options, struct copy_progress *copied, char *error,
	       size_t size)
{
	struct cuda_parallel_range ranges[CCR_MAX_DEVICES];
	struct cuda_parallel_config config;
	struct cuda_parallel_engine *engine;
	int devices[CCR_MAX_DEVICES];
	struct cuda_parallel_job job = {
		.progress = progressed, .argument = copied, .config = &config};
	int ret = store_devices(image, options, devices, error, size);

	if (!ret)
		ret = find_ranges(image, storage, devices, ranges, error, size);
	if (ret || !image->nr_allocations)
		return ret;
	ret = engine_get(&engine, options, devices, image->nr_devices, error, size);
	if (ret)
		return ret;
	config = engine_config(engine, options, copied);
	atomic_store(&copied->total_bytes, image->bytes);
	ret = cuda_parallel_restore_memory(engine, image, ranges, image->nr_allocations, &job);
	if (ret)
		snprintf(error, size, "%s", job.error);
	return ret;
}

int store_host_has_room(uint64_t bytes, char *error, size_t size)
{
	const int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char whose[160];
	const uint64_t room = ccr_memory_room(root, whose, sizeof(whose));

	if (root >= 0)
		close(root);
	if (room >= SPARE_BYTES && bytes <= room - SPARE_BYTES)
		return 0;
	snprintf(error, size, "%llu bytes of host memory are not available: %s has %llu",
		 (unsigned long long)bytes, whose, (unsigned long long)room);
	return -ENOMEM;
}

static int copy_part(bool is_back, const struct held *held, char *host,
		     const struct copy_options *options, char *error, size_t size)
{
	const struct cuda_parallel_range range = {
		.device = held->device, .address = held->mapped, .bytes = held->size};
	const int device = held->device;
	struct cuda_parallel_job job = {0};
	struct cuda_parallel_engine *engine;
	int ret = engine_get(&engine, options, &device, 1, error, size);

	if (ret)
		return ret;
	ret = is_back ? cuda_parallel_restore_buffer(engine, &range, host, &job)
		      : cuda_parallel_dump_buffer(engine, &range, host, &job);
	if (ret)
		snprintf(error, size, "%s", job.error);
	return ret;
}

int store_keep(const struct storage *storage, const struct copy_options *options, struct kept *kept,
	       char *error, size_t size)
{
	const uint64_t bytes = storage->list.bytes;
	int ret = 0;

	memset(kept, 0, sizeof(*kept));
	if (!bytes)
		return 0;
	ret = store_host_has_room(bytes, error, size);
	if (ret)
		return ret;
	kept->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (kept->memory == MAP_FAILED) {
		kept->memory = NULL;
		snprintf(error, size, "cannot map host memory: %s", strerror(errno));
		return -ENOMEM;
	}
	for (size_t i = 0; !ret && i < storage->list.nr && i < CCR_MAX_DEVICES; i++) {
		const struct held *held = &storage->list.entries[i];

		ret = copy_part(false, held, kept->memory + kept->bytes, options, error, size);
		kept->parts[i].device = held->device;
		kept->parts[i].offset = kept->bytes;
		kept->parts[i].size = held->size;
		kept->nr_parts++;
		kept->bytes += held->size;
	}
	kept->bytes = bytes;
	if (ret)
		store_forget(kept);
	return ret;
}

int store_put_back(const struct kept *kept, const struct storage *storage,
		   const struct copy_options *options, char *error, size_t size)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < kept->nr_parts; i++) {
		const struct held *held = store_mapped_on(storage, kept->parts[i].device);

		if (!held || held->size != kept->parts[i].size) {
			snprintf(error, size,
				 "the driver does not map the bytes of the Checkpoint on device %u",
				 kept->parts[i].device);
			return -EINVAL;
		}
		ret = copy_part(true, held, kept->memory + kept->parts[i].offset, options, error,
				size);
	}
	return ret;
}

void store_forget(struct kept *kept)
{
	if (kept->memory)
		munmap(kept->memory, kept->bytes);
	memset(kept, 0, sizeof(*kept));
}
