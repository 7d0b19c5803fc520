// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sync.h"
#include "pool/images/save.h"

struct save {
	int images_dir;
	pid_t image_pid;
	const struct held_list *list;
	struct copy_options options;
	struct copy_progress *copied;
	save_ended ended;
	void *argument;
	pthread_t thread;
	struct cuda_parallel_job job;
	char error[256];
};

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
		    const struct copy_options *options, struct cuda_parallel_range *ranges)
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
			.flags = held->flags & HELD_DRIVER	    ? CCR_IMAGE_ALLOCATION_DRIVER
				 : held->flags & CCR_HANDLE_OWN_VMM ? CCR_IMAGE_ALLOCATION_OWN_VMM
								    : 0,
		};

		ranges[i] = (struct cuda_parallel_range){
			.device = held->device, .address = held->mapped, .bytes = held->size};
		ret = device < 0 ? device : ccr_image_writer_add_allocation(writer, &allocation);
	}
	for (uint32_t i = 0; !ret && i < options->nr_imports; i++)
		ret = ccr_image_writer_add_import(writer, &options->imports[i]);
	return ret;
}

static void progressed(void *argument, uint64_t done_bytes, uint64_t total_bytes)
{
	const struct save *save = argument;

	(void)total_bytes;
	atomic_store(&save->copied->done_bytes, done_bytes);
}

/* NULL: there is none, or it is of no use, because its stripes cannot be linked. */
static struct ccr_image *open_earlier(struct save *save, struct ccr_image_writer *writer)
{
	struct ccr_image *earlier = NULL;
	char error[256];

	save->copied->has_earlier = save->options.earlier >= 0;
	if (!save->copied->has_earlier)
		return NULL;
	if (!ccr_image_open(&earlier, save->options.earlier, save->image_pid, error,
			    sizeof(error)) &&
	    !ccr_image_writer_link(writer, earlier, error, sizeof(error)))
		return earlier;
	snprintf(save->job.reuse_error, sizeof(save->job.reuse_error), "%.150s", error);
	ccr_image_close(earlier);
	return NULL;
}

static void note_result(const struct cuda_parallel_job *job, struct copy_progress *copied)
{
	copied->scan_zero_bytes = job->scan_zero_bytes;
	copied->scan_ms = job->scan_seconds * 1e3;
	snprintf(copied->scan_error, sizeof(copied->scan_error), "%s", job->scan_error);
	copied->reused_bytes = job->reused_bytes;
	snprintf(copied->reuse_error, sizeof(copied->reuse_error), "%s", job->reuse_error);
}

static int write_image(struct save *save, struct cuda_parallel_engine *engine,
		       struct cuda_parallel_range *ranges)
{
	const struct cuda_parallel_config config =
		engine_config(engine, &save->options, save->copied);
	struct ccr_image_options image_options = {
		.nr_writers = config.streams,
		.driver_version = pool.driver.version,
		.protocol = save->options.protocol,
		.chunk_size = config.chunk_bytes,
		.is_driver = save->options.is_driver,
		.sync = ccr_sync_wanted(save->options.sync, save->images_dir),
	};
	struct ccr_image_writer *writer = NULL;
	int ret;

	memcpy(image_options.checkpoint, save->options.checkpoint,
	       sizeof(image_options.checkpoint));
	ret = ccr_image_writer_begin(&writer, save->images_dir, save->image_pid, &image_options,
				     save->error, sizeof(save->error));
	if (ret)
		return ret;
	ret = describe(writer, save->list, &save->options, ranges);
	save->job.config = &config;
	save->job.threads = save->copied->threads;
	save->job.progress = progressed;
	save->job.argument = save;
	if (!ret) {
		struct ccr_image *earlier = open_earlier(save, writer);

		save->job.earlier = earlier;
		ret = cuda_parallel_dump_memory(engine, writer, ranges, save->list->nr, &save->job);
		ccr_image_close(earlier);
	}
	note_result(&save->job, save->copied);
	if (!ret)
		return ccr_image_writer_commit(writer, save->error, sizeof(save->error));
	snprintf(save->error, sizeof(save->error), "%.250s",
		 *save->job.error ? save->job.error : strerror(-ret));
	ccr_image_writer_abort(writer);
	return ret;
}

static int run(struct save *save)
{
	const int device = save->list->nr ? save->list->entries[0].device : 0;
	struct cuda_parallel_range *ranges = calloc(save->list->nr + 1, sizeof(*ranges));
	struct cuda_parallel_engine *engine;
	int ret;

	if (!ranges)
		return -ENOMEM;
	ret = engine_get(&engine, &save->options, &device, 1, save->error, sizeof(save->error));
	save->copied->engine_ready = now_ms();
	if (!ret)
		ret = write_image(save, engine, ranges);
	free(ranges);
	return ret;
}

static void *save_thread(void *argument)
{
	struct save *save = argument;
	const double start = now_ms();
	int ret;

	save->copied->started = start;
	ret = run(save);
	save->copied->ended = now_ms();
	if (ret && !*save->error)
		snprintf(save->error, sizeof(save->error), "%s", strerror(-ret));
	save->ended(save->argument, ret, save->error, now_ms() - start);
	return NULL;
}

int save_write(int images_dir, pid_t image_pid, const struct held_list *list,
	       const struct copy_options *options, struct copy_progress *copied, char *error,
	       size_t size)
{
	struct save save = {
		.images_dir = images_dir,
		.image_pid = image_pid,
		.list = list,
		.options = *options,
		.copied = copied,
	};
	int ret;

	atomic_store(&copied->total_bytes, list->bytes);
	ret = run(&save);
	if (ret)
		snprintf(error, size, "%s", *save.error ? save.error : strerror(-ret));
	return ret;
}

struct save *save_begin(int images_dir, pid_t image_pid, const struct held_list *list,
			const struct copy_options *options, struct copy_progress *copied,
			save_ended ended, void *argument)
{
	struct save *save = calloc(1, sizeof(*save));

	if (!save)
		return NULL;
	save->image_pid = image_pid;
	save->list = list;
	save->options = *options;
	save->copied = copied;
	atomic_store(&copied->total_bytes, list->bytes);
	save->ended = ended;
	save->argument = argument;
	save->images_dir = fcntl(images_dir, F_DUPFD_CLOEXEC, 0);
	if (save->images_dir >= 0 && !pthread_create(&save->thread, NULL, save_thread, save))
		return save;
	if (save->images_dir >= 0)
		close(save->images_dir);
	free(save);
	return NULL;
}

void save_end(struct save *save)
{
	cuda_parallel_cancel(&save->job);
	pthread_join(save->thread, NULL);
	close(save->images_dir);
	free(save);
}
