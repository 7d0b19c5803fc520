// SPDX-License-Identifier: MIT
#include "pool/images/slabs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SLAB_BYTES (512ull << 20)
/* Of which every allocation has a multiple; the driver's own ranges need not. */
#define GRANULARITY (2ull << 20)
/* Kept free for the driver and the process when we check for room. */
#define SPARE_BYTES (64ull << 20)

bool (*slabs_make_room)(int device);

/* Creates memory. When the device is full, images that are only kept for later are dropped. */
static int create_one(struct held *held)
{
	int ret = pool_device_use(held->device);

	while (!ret) {
		ret = held_create(held);
		if (ret != -ENOMEM || !slabs_make_room || !slabs_make_room(held->device))
			break;
		ret = 0;
	}
	return ret;
}

/* Bytes on one device. */
static uint64_t bytes_on(const struct load *load, int device)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < load->list.nr; i++)
		if ((int)load->list.entries[i].device == device)
			bytes += load->list.entries[i].size;
	return bytes;
}

/* True when every device has room for `copies` copies of the image. */
bool slabs_have_room(const struct load *load, uint64_t copies)
{
	for (int device = 0; device < pool.nr_devices; device++) {
		const uint64_t bytes = bytes_on(load, device);
		size_t free_bytes, total_bytes;

		if (bytes && (pool_device_memory(device, &free_bytes, &total_bytes) ||
			      free_bytes < copies * bytes + SPARE_BYTES))
			return false;
	}
	return true;
}

/*
 * Thousands of small allocations cost less as parts of a few large ones, from
 * which the process copies them to its own. That briefly takes twice the
 * memory. Without room for it, or when the process keeps our memory, each is
 * separate.
 */
static int plan_slabs(struct load *load)
{
	const bool is_shared = load->options.mode != CCR_ATTACH_MAP && slabs_have_room(load, 2);
	struct held_list *slabs = &load->slabs;
	int ret = 0;

	for (size_t i = 0; !ret && i < load->list.nr; i++) {
		struct held *held = &load->list.entries[i];
		struct held *slab = slabs->nr ? &slabs->entries[slabs->nr - 1] : NULL;
		const uint64_t bytes = (held->size + GRANULARITY - 1) & ~(GRANULARITY - 1);

		if (!is_shared || !slab || slab->device != held->device ||
		    slab->size + bytes > SLAB_BYTES) {
			const struct held fresh = {.device = held->device, .fd = -1};

			ret = held_add(slabs, &fresh);
			if (ret)
				break;
			slab = &slabs->entries[slabs->nr - 1];
		}
		held->whole = slabs->nr - 1;
		held->offset = slab->size;
		slab->size += bytes;
		slabs->bytes += bytes;
	}
	return ret;
}

int slabs_create(struct load *load, struct cuda_parallel_range *ranges)
{
	int ret = plan_slabs(load);

	for (size_t i = 0; !ret && i < load->slabs.nr; i++) {
		struct held *slab = &load->slabs.entries[i];

		ret = create_one(slab);
		if (ret)
			snprintf(load->error, sizeof(load->error),
				 "cannot allocate %llu bytes on device %u: %s",
				 (unsigned long long)slab->size, slab->device, strerror(-ret));
	}
	if (!ret) {
		ret = held_map_all(&load->slabs);
		if (ret)
			snprintf(load->error, sizeof(load->error), "cannot map device memory: %s",
				 strerror(-ret));
	}
	for (size_t i = 0; !ret && i < load->list.nr; i++) {
		struct held *held = &load->list.entries[i];
		const struct held *slab = &load->slabs.entries[held->whole];

		held->memory_size = slab->size;
		ranges[i] = (struct cuda_parallel_range){.device = held->device,
							 .address = slab->mapped + held->offset,
							 .bytes = held->size};
	}
	return ret;
}

int slabs_export(struct load *load, size_t first, size_t end)
{
	int ret = 0;

	pthread_mutex_lock(&load->exporting);
	for (size_t i = first; !ret && i < end; i++) {
		struct held *held = &load->list.entries[i];

		if (held->fd >= 0)
			continue;
		ret = held_export(&load->slabs.entries[held->whole]);
		held->fd = load->slabs.entries[held->whole].fd;
	}
	pthread_mutex_unlock(&load->exporting);
	return ret;
}
