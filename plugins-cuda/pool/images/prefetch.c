// SPDX-License-Identifier: MIT
/* How images become resident: read from their files, or kept after a dump. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/images/prefetch.h"
#include "pool/images/residents.h"
#include "pool/images/waiting.h"

/*
 * Memory that the driver takes is only copied to its process. It is in host memory when a device
 * has no room for both, or the budget is too small.
 */
static bool belongs_to_host(const struct resident *resident)
{
	const uint64_t limit = resident_budget();

	for (int device = 0; limit && device < pool.nr_devices; device++)
		if (resident->bytes_on[device] > limit)
			return true;
	return !waiting_has_room(resident->bytes_on);
}

/* What it will take on each device; sets the options for its load. */
static int plan(int images_dir, struct resident *resident, struct copy_options *options,
		char *error, size_t size)
{
	struct ccr_image *image;
	int ret = ccr_image_open_early(&image, images_dir, resident->identity.pid, error, size);

	if (ret)
		return ret;
	options->is_driver = image->is_driver;
	for (uint32_t i = 0; !ret && i < image->nr_allocations; i++) {
		const struct ccr_image_allocation *a = &image->allocations[i];
		const int device = pool_device_find(image->devices[a->device].uuid);

		if (device >= 0) {
			resident->bytes_on[device] += a->size;
			continue;
		}
		ret = device;
		snprintf(error, size, "%s: devices: this machine has no %s with its UUID",
			 image->name, image->devices[a->device].name);
	}
	ccr_image_close(image);
	if (ret || !options->is_driver || !belongs_to_host(resident))
		return ret;
	options->in_host = true;
	memset(resident->bytes_on, 0, sizeof(resident->bytes_on));
	return 0;
}

static int no_room(pid_t image_pid, char *error, size_t size)
{
	snprintf(
		error, size,
		"cuda-%d.img does not fit next to the resident images: CRIU_CUDA_POOL_BUDGET_MB is "
		"%llu",
		image_pid, (unsigned long long)resident_budget() >> 20);
	return -ENOSPC;
}

/* Waits for the load of a resident image and removes the image if it failed. */
static int finish(uint64_t number, struct load *load, char *error, size_t size)
{
	const int ret = load_wait(load);

	if (ret) {
		snprintf(error, size, "%s", load->error);
		resident_give_up(number);
	}
	load_put(load);
	return ret;
}

/* Begins to load an image that is not resident. */
static int start(int images_dir, const struct image_identity *identity, struct copy_options options,
		 bool is_golden, uint64_t *number, struct load **load, char *error, size_t size)
{
	struct resident *resident = resident_new(images_dir, identity, "prefetch", is_golden);
	int ret;

	if (!resident)
		return -ENOMEM;
	*number = resident->number;
	ret = plan(images_dir, resident, &options, error, size);
	if (ret) {
		free(resident);
		return ret;
	}
	if (resident_reserve(resident))
		return no_room(identity->pid, error, size);
	*load = load_begin(images_dir, identity->pid, &options, &ret, error, size);
	resident_finish(*number, *load);
	return *load ? 0 : -EIO;
}

static int prefetch_one(int images_dir, pid_t image_pid, bool is_golden, char *error, size_t size)
{
	struct image_identity identity;
	struct load *load;
	uint64_t number;
	int ret;

	ret = image_identify(images_dir, image_pid, &identity);
	if (ret)
		return ret;
	load = resident_use(&identity, is_golden, &number);
	if (load)
		resident_rename(&identity, images_dir);
	else
		ret = start(images_dir, &identity, engine_own_options(), is_golden, &number, &load,
			    error, size);
	return ret ? ret : finish(number, load, error, size);
}

int prefetch_arriving(int images_dir, pid_t image_pid, bool is_golden,
		      struct image_identity *identity, uint64_t *number, struct load **load,
		      char *error, size_t size)
{
	struct copy_options options = engine_own_options();
	const int ret = image_identify(images_dir, image_pid, identity);

	options.is_arriving = true;
	return ret ? ret
		   : start(images_dir, identity, options, is_golden, number, load, error, size);
}

int prefetch_images(const char *dir, bool is_golden, char *error, size_t size)
{
	const int images_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t *pids = NULL;
	size_t nr = 0;
	int ret;

	*error = '\0';
	ret = images_dir < 0 ? -errno : load_list_images(images_dir, &pids, &nr, error, size);
	if (!ret && !nr) {
		ret = -ENOENT;
		snprintf(error, size, "%s holds no GPU image (cuda-<pid>.img)", dir);
	}
	for (size_t i = 0; !ret && i < nr; i++)
		ret = prefetch_one(images_dir, pids[i], is_golden, error, size);
	if (ret && !*error)
		snprintf(error, size, "%s: %s", dir, strerror(-ret));
	free(pids);
	if (images_dir >= 0)
		close(images_dir);
	atomic_fetch_add(ret ? &pool.counters.failures : &pool.counters.prefetches, 1);
	return ret;
}

/* A new resident for an image, and its number. Returns 0 or -errno. */
static int new_resident(int images_dir, pid_t image_pid, const char *origin,
			struct resident **resident, uint64_t *number)
{
	struct image_identity identity;
	const int ret = image_identify(images_dir, image_pid, &identity);

	if (ret)
		return ret;
	*resident = resident_new(images_dir, &identity, origin, false);
	if (!*resident)
		return -ENOMEM;
	*number = (*resident)->number;
	return 0;
}

static int begin_one(int images_dir, pid_t image_pid, char *error, size_t size)
{
	const struct copy_options options = engine_own_options();
	struct resident *resident;
	struct load *load;
	uint64_t number;
	int ret;

	ret = new_resident(images_dir, image_pid, "early", &resident, &number);
	if (!ret)
		ret = resident_reserve(resident);
	if (ret)
		return ret;
	load = load_begin(images_dir, image_pid, &options, &ret, error, size);
	resident_finish(number, load);
	load_put(load);
	return ret == -EMEDIUMTYPE ? 0 : ret; /* the driver takes it when its process is there */
}

int prefetch_begin(int images_dir, char *error, size_t size)
{
	pid_t *pids;
	size_t nr;
	int ret = load_list_images(images_dir, &pids, &nr, error, size);

	for (size_t i = 0; !ret && i < nr; i++)
		ret = begin_one(images_dir, pids[i], error, size);
	free(pids);
	return ret;
}

int prefetch_hold(int images_dir, pid_t image_pid, struct held_list *list)
{
	struct resident *resident;
	struct load *load;
	uint64_t number;
	int ret;

	ret = new_resident(images_dir, image_pid, "hold", &resident, &number);
	if (ret)
		return ret;
	for (size_t i = 0; i < list->nr; i++)
		resident->bytes_on[list->entries[i].device] += list->entries[i].size;
	ret = resident_reserve(resident);
	if (ret)
		return ret;
	load = load_of_held(images_dir, image_pid, list);
	resident_finish(number, load);
	load_put(load);
	return load ? 0 : -ENOMEM;
}
