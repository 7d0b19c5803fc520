// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/protocol/device_map.h"
#include "pool/images/load.h"
#include "pool/images/slabs.h"
#include "pool/images/waiting.h"

static void range_ready(void *argument, uint32_t range)
{
	struct load *load = argument;

	pthread_mutex_lock(&load->lock);
	load->ready[range] = true;
	pthread_cond_broadcast(&load->progress);
	pthread_mutex_unlock(&load->lock);
}

static void progressed(void *argument, uint64_t done_bytes, uint64_t total_bytes)
{
	struct load *load = argument;

	(void)total_bytes;
	atomic_store(&load->copied.done_bytes, done_bytes);
}

static int find_devices(struct load *load)
{
	const struct ccr_image *image = load->image;

	for (size_t i = 0; i < load->list.nr; i++) {
		const struct ccr_image_device *wanted =
			&image->devices[image->allocations[i].device];
		const int device =
			pool_device_find(ccr_device_map_find(&load->options.map, wanted->uuid));

		if (device < 0) {
			snprintf(load->error, sizeof(load->error),
				 "%s: devices: this machine has no %s with its UUID; "
				 "name another device in CRIU_CUDA_DEVICE_MAP",
				 image->name, wanted->name);
			return device;
		}
		load->list.entries[i].device = device;
	}
	return 0;
}

/* Call with the lock held. */
static int explain_export(struct load *load, int ret)
{
	if (ret)
		snprintf(load->error, sizeof(load->error), "cannot export an allocation: %s",
			 strerror(-ret));
	return ret;
}

/* While no process needs it yet. One that needs it later is told what has failed. */
static void *export_all(void *load)
{
	slabs_export(load, 0, ((struct load *)load)->list.nr);
	return NULL;
}

static int copy_in(struct load *load, struct cuda_parallel_engine *engine,
		   struct cuda_parallel_range *ranges)
{
	const struct cuda_parallel_config config =
		engine_config(engine, &load->options, &load->copied);
	pthread_t exporter;
	bool is_exporting;
	int ret = slabs_create(load, ranges);

	if (ret)
		return ret;
	load->copied.allocated = now_ms();
	is_exporting = !load->is_driver && !pthread_create(&exporter, NULL, export_all, load);
	pthread_mutex_lock(&load->lock);
	load->engine = engine; /* from now on, it is told what arrives */
	pthread_mutex_unlock(&load->lock);
	load->job.arrived = load->arrived;
	load->job.threads = load->copied.threads;
	load->job.ready = range_ready;
	load->job.progress = progressed;
	load->job.argument = load;
	load->job.config = &config;
	ret = cuda_parallel_restore_memory(engine, load->image, ranges, load->list.nr, &load->job);
	if (is_exporting)
		pthread_join(exporter, NULL);
	if (ret)
		snprintf(load->error, sizeof(load->error), "%.250s", load->job.error);
	return ret;
}

static int load_to_device(struct load *load)
{
	struct cuda_parallel_range *ranges = calloc(load->list.nr + 1, sizeof(*ranges));
	struct cuda_parallel_engine *engine;
	int device, ret;

	if (!ranges)
		return -ENOMEM;
	engine_prepare(&load->options);
	ret = pool_device_wait(load->error, sizeof(load->error));
	load->copied.device_ready = now_ms();
	if (!ret)
		ret = find_devices(load);
	device = load->list.nr ? load->list.entries[0].device : 0;
	if (!ret)
		ret = pool_device_use(device);
	load->copied.context_ready = now_ms();
	if (!ret)
		ret = engine_get(&engine, &load->options, &device, 1, load->error,
				 sizeof(load->error));
	load->copied.engine_ready = now_ms();
	if (!ret)
		ret = copy_in(load, engine, ranges);
	free(ranges);
	return ret;
}

static int load_to_host(struct load *load)
{
	int ret = pool_device_wait(load->error, sizeof(load->error));

	load->copied.device_ready = now_ms();
	if (!ret)
		ret = find_devices(load);
	if (!ret)
		ret = load_wait_for_stripes(load);
	return ret ? ret : waiting_read(load);
}

static void *load_thread(void *argument)
{
	struct load *load = argument;
	const double start = now_ms();
	struct ccr_image *image;
	int ret, exported = 0;

	load->copied.started = start;
	ret = load->options.in_host ? load_to_host(load) : load_to_device(load);
	load->copied.ended = now_ms();
	pthread_mutex_lock(&load->lock);
	image = load->image;
	load->image = NULL;
	pthread_mutex_unlock(&load->lock);
	/* Close the files now: while they are open, removing them frees no space. */
	ccr_image_close(image);
	if (!ret && !load->is_driver)
		exported = slabs_export(load, 0, load->list.nr);
	pthread_mutex_lock(&load->lock);
	if (ret && *load->given_up)
		snprintf(load->error, sizeof(load->error), "%s", load->given_up);
	if (!ret)
		ret = explain_export(load, exported);
	load->ms = now_ms() - start;
	load->result = ret;
	load->ended = true;
	atomic_store(ret ? &load->copied.is_failed : &load->copied.is_complete, true);
	pthread_cond_broadcast(&load->progress);
	pthread_mutex_unlock(&load->lock);
	eventfd_write(load->ended_fd, 1);
	return NULL;
}

/* Lists what the image holds, without memory and devices. */
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
	load->imports = load->image->imports;
	load->nr_imports = image->nr_imports;
	load->image->imports = NULL;
	atomic_store(&load->copied.total_bytes, load->list.bytes);
	load->ready = calloc(load->list.nr + 1, sizeof(*load->ready));
	return load->ready ? ret : -ENOMEM;
}

static struct load *load_new(pid_t image_pid)
{
	struct load *load = calloc(1, sizeof(*load));

	if (!load)
		return NULL;
	load->image_pid = image_pid;
	load->references = 1;
	load->ended_fd = -1;
	pthread_mutex_init(&load->exporting, NULL);
	pthread_mutex_init(&load->lock, NULL);
	pthread_cond_init(&load->progress, NULL);
	return load;
}

/* Only memory that was compared with its checksums is what the manifest says. */
static void keep_manifest(struct load *load)
{
	load->manifest = load->image->manifest;
	load->manifest_size = load->image->manifest_size;
	load->image->manifest = NULL;
}

struct load *load_begin(int images_dir, pid_t image_pid, const struct copy_options *options,
			int *result, char *error, size_t size)
{
	struct load *load = load_new(image_pid);

	*result = -ENOMEM;
	if (!load)
		return NULL;
	load->options = *options;
	*result = options->is_arriving
			  ? ccr_image_open_early(&load->image, images_dir, image_pid, error, size)
			  : ccr_image_open(&load->image, images_dir, image_pid, error, size);
	load->is_driver = !*result && load->image->is_driver;
	if (load->is_driver && !options->is_driver) {
		*result = -EMEDIUMTYPE;
		snprintf(error, size,
			 "%s: the driver hands this memory over, which it does for a process that "
			 "is restored, not before",
			 load->image->name);
	}
	if (!*result)
		*result = plan(load);
	if (!*result && options->is_arriving)
		*result = load_expect(load);
	if (!*result && options->verify)
		keep_manifest(load);
	/* A daemon knows its devices, so that another pool may serve this restore. */
	if (!*result && pool.is_daemon) {
		*result = find_devices(load);
		snprintf(error, size, "%s", load->error);
	}
	if (!*result) {
		load->ended_fd = eventfd(0, EFD_CLOEXEC);
		*result = load->ended_fd < 0 ? -errno : 0;
	}
	if (!*result)
		*result = -pthread_create(&load->thread, NULL, load_thread, load);
	load->has_thread = !*result;
	if (load->has_thread)
		return load;
	load_put(load);
	return NULL;
}

/* What the manifest says about memory that others hold. */
static int read_imports(struct load *load)
{
	struct ccr_image *image;
	char error[256];
	int ret = load->manifest ? ccr_image_parse(&image, load->manifest, load->manifest_size,
						   "manifest", error, sizeof(error))
				 : 0;

	if (ret || !load->manifest)
		return ret;
	load->imports = image->imports;
	load->nr_imports = image->nr_imports;
	image->imports = NULL;
	ccr_image_close(image);
	return 0;
}

struct load *load_of_held(int images_dir, pid_t image_pid, struct held_list *list)
{
	struct load *load = load_new(image_pid);
	char error[256];

	if (!load)
		return NULL;
	load->ready = malloc(list->nr + 1);
	if (!load->ready) {
		load_put(load);
		return NULL;
	}
	/* Without it, copies of the image are loaded. */
	if (ccr_image_read_manifest(&load->manifest, &load->manifest_size, images_dir, image_pid,
				    error, sizeof(error)))
		load->manifest = NULL;
	if (read_imports(load)) {
		load_put(load);
		return NULL;
	}
	memset(load->ready, true, list->nr + 1);
	load->ended = true;
	load->list = *list;
	atomic_store(&load->copied.done_bytes, list->bytes);
	atomic_store(&load->copied.total_bytes, list->bytes);
	atomic_store(&load->copied.is_complete, true);
	memset(list, 0, sizeof(*list));
	return load;
}

bool load_can_be_taken(struct load *load)
{
	return !load->slabs.nr || load->slabs.nr == load->list.nr || slabs_have_room(load, 1);
}

struct load *load_ref(struct load *load)
{
	pthread_mutex_lock(&load->lock);
	load->references++;
	pthread_mutex_unlock(&load->lock);
	return load;
}

void load_put(struct load *load)
{
	bool is_last;

	if (!load)
		return;
	pthread_mutex_lock(&load->lock);
	is_last = !--load->references;
	pthread_mutex_unlock(&load->lock);
	if (!is_last)
		return;
	load_give_up(load, "dropped");
	if (load->has_thread)
		pthread_join(load->thread, NULL);
	held_free_all(&load->list);
	held_free_all(&load->slabs);
	waiting_free(load);
	ccr_image_close(load->image);
	if (load->ended_fd >= 0)
		close(load->ended_fd);
	pthread_cond_destroy(&load->progress);
	pthread_mutex_destroy(&load->lock);
	pthread_mutex_destroy(&load->exporting);
	free(load->ready);
	free(load->arrived);
	free(load->manifest);
	free(load->imports);
	free(load);
}

ssize_t load_take_ready(struct load *load, size_t first)
{
	size_t end = first;
	int ret;

	pthread_mutex_lock(&load->lock);
	/* Entries are waited for in the order of the image, in which chunks are loaded. */
	while (!load->ready[first] && !load->ended)
		pthread_cond_wait(&load->progress, &load->lock);
	while (end < load->list.nr && load->ready[end] && end - first < CCR_HANDLES_A_MESSAGE)
		end++;
	ret = load->ended ? load->result : 0;
	if (!ret && end == first)
		ret = -EIO;
	pthread_mutex_unlock(&load->lock);
	if (ret)
		return ret;
	ret = slabs_export(load, first, end);
	pthread_mutex_lock(&load->lock);
	explain_export(load, ret);
	pthread_mutex_unlock(&load->lock);
	return ret ? ret : (ssize_t)end;
}
