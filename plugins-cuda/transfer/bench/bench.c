// SPDX-License-Identifier: MIT
/*
 * ccr-transfer-bench: evicts device memory with known content to a GPU image,
 * loads it again and compares the content. 1 GB is 10^9 bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "image/checksum/checksum.h"
#include "transfer/bench/bench.h"

#define IMAGE_PID 1

struct iteration {
	double evict, commit, open, load, first_ready, raw, scan;
	uint64_t stored_bytes, zero_bytes, scan_zero_bytes, checked_bytes;
	char io_evict[24], io_load[24], scan_error[160];
};

struct bench {
	struct bench_options options;
	struct ccr_driver driver;
	struct ccr_cuda cuda;
	struct bench_memory memory;
	struct bench_link link;
	struct cuda_parallel_engine *engine;
	int dirfd;
	double init_seconds, second_init_seconds;
	char error[512];
};

static void open_engine(struct bench *bench)
{
	int devices[CUDA_PARALLEL_MAX_DEVICES];

	for (uint32_t i = 0; i < bench->options.devices; i++)
		devices[i] = i;
	if (cuda_parallel_restore_init(&bench->engine, &bench->cuda, &bench->options.config,
				       devices, bench->options.devices, bench->error,
				       sizeof(bench->error)))
		bench_die("%s", bench->error);
}

static void open_all(struct bench *bench)
{
	const struct bench_options *o = &bench->options;
	double start;

	bench->dirfd = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bench->dirfd < 0)
		bench_die("%s: %s", o->dir, strerror(errno));
	if (ccr_driver_open(&bench->driver, o->driver ? o->driver : "", bench->error,
			    sizeof(bench->error)) ||
	    ccr_cuda_load(&bench->cuda, &bench->driver, bench->error, sizeof(bench->error)))
		bench_die("%s", bench->error);
	bench_cuda(bench->cuda.cuInit(0), "cuInit");
	start = bench_now();
	open_engine(bench);
	bench->init_seconds = bench_now() - start;
	bench->memory.cuda = &bench->cuda;
	bench_allocate(&bench->memory, o);
	/* Does not include creating the contexts, which the allocations keep alive from here on. */
	cuda_parallel_restore_fini(bench->engine);
	start = bench_now();
	open_engine(bench);
	bench->second_init_seconds = bench_now() - start;
	if (bench->options.link)
		bench_measure_link(&bench->memory, &bench->link);
	bench_fill(&bench->memory);
}

static void remove_image(const struct bench *bench)
{
	char name[CCR_IMAGE_NAME_MAX];

	ccr_image_manifest_name(name, IMAGE_PID);
	unlinkat(bench->dirfd, name, 0);
	for (uint32_t i = 0; i < CUDA_PARALLEL_MAX_THREADS; i++) {
		ccr_image_stripe_name(name, IMAGE_PID, i);
		unlinkat(bench->dirfd, name, 0);
	}
}

static struct ccr_image_writer *begin_image(struct bench *bench)
{
	const struct ccr_image_options options = {
		.nr_writers = bench->options.config.streams,
		.driver_version = bench->driver.version,
		.chunk_size = bench->options.config.chunk_bytes,
		.sync = bench->options.sync,
	};
	struct ccr_image_writer *writer;

	if (ccr_image_writer_begin(&writer, bench->dirfd, IMAGE_PID, &options, bench->error,
				   sizeof(bench->error)))
		bench_die("%s", bench->error);
	for (uint32_t i = 0; i < bench->options.devices; i++) {
		struct ccr_image_device device = {0};
		CUuuid uuid;

		bench_cuda(bench->cuda.cuDeviceGetUuid_v2(&uuid, i), "cuDeviceGetUuid");
		bench_cuda(bench->cuda.cuDeviceGetName(device.name, sizeof(device.name), i),
			   "cuDeviceGetName");
		memcpy(device.uuid, uuid.bytes, sizeof(device.uuid));
		if (ccr_image_writer_add_device(writer, &device))
			bench_die("out of memory");
	}
	for (uint32_t i = 0; i < bench->memory.nr; i++) {
		const struct cuda_parallel_range *range = &bench->memory.ranges[i];
		const struct ccr_image_allocation allocation = {
			.id = i + 1,
			.address = range->address,
			.size = range->bytes,
			.requested = range->bytes,
			.device = range->device,
		};

		if (ccr_image_writer_add_allocation(writer, &allocation))
			bench_die("out of memory");
	}
	return writer;
}

static void evict(struct bench *bench, struct iteration *it)
{
	struct ccr_image_writer *writer = begin_image(bench);
	struct cuda_parallel_job job = {0};
	double start = bench_now();

	if (cuda_parallel_dump_memory(bench->engine, writer, bench->memory.ranges, bench->memory.nr,
				      &job))
		bench_die("evict: %s", job.error);
	it->evict = bench_now() - start;
	start = bench_now();
	if (ccr_image_writer_commit(writer, bench->error, sizeof(bench->error)))
		bench_die("commit: %s", bench->error);
	it->commit = bench_now() - start;
	it->stored_bytes = job.stored_bytes;
	it->zero_bytes = job.zero_bytes;
	it->scan = job.scan_seconds;
	it->scan_zero_bytes = job.scan_zero_bytes;
	snprintf(it->scan_error, sizeof(it->scan_error), "%s", job.scan_error);
	snprintf(it->io_evict, sizeof(it->io_evict), "%s", job.io);
}

static void note_first(void *argument, uint32_t range)
{
	double *first = argument;

	if (!*first)
		*first = bench_now();
}

static void load(struct bench *bench, struct iteration *it)
{
	double start = bench_now(), first = 0;
	struct cuda_parallel_job job = {.ready = note_first, .argument = &first};
	struct ccr_image *image;

	if (ccr_image_open(&image, bench->dirfd, IMAGE_PID, bench->error, sizeof(bench->error)))
		bench_die("open: %s", bench->error);
	it->open = bench_now() - start;
	for (uint32_t i = 0; bench->options.cold && i < image->nr_stripes; i++) {
		fsync(image->stripes[i].fd);
		posix_fadvise(image->stripes[i].fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	if (bench->options.raw)
		it->raw = bench_raw_read(image, bench->options.config.streams);
	start = bench_now();
	if (cuda_parallel_restore_memory(bench->engine, image, bench->memory.ranges,
					 bench->memory.nr, &job))
		bench_die("load: %s", job.error);
	it->load = bench_now() - start;
	it->first_ready = first - start;
	snprintf(it->io_load, sizeof(it->io_load), "%s", job.io);
	ccr_image_close(image);
}

static void print_iteration(const struct bench *bench, const struct iteration *it, uint32_t index)
{
	const double bytes = bench->memory.nr * (double)bench->memory.ranges[0].bytes;

	if (bench->options.json)
		printf("%s    "
		       "{\"evictSeconds\":%.6f,\"evictGbPerSecond\":%.3f,\"commitSeconds\":%.6f,"
		       "\"openSeconds\":%.6f,\"loadSeconds\":%.6f,\"loadGbPerSecond\":%.3f,"
		       "\"firstReadySeconds\":%.6f,\"rawReadGbPerSecond\":%.3f,\"storedBytes\":%"
		       "llu,"
		       "\"zeroBytes\":%llu,\"comparedBytes\":%llu,\"ioEvict\":\"%s\",\"ioLoad\":\"%"
		       "s\",\"scanSeconds\":%.6f,\"scanZeroBytes\":%llu,\"scanError\":\"%s\"}",
		       index ? ",\n" : "", it->evict, bytes / it->evict / 1e9, it->commit, it->open,
		       it->load, bytes / it->load / 1e9, it->first_ready, it->raw,
		       (unsigned long long)it->stored_bytes, (unsigned long long)it->zero_bytes,
		       (unsigned long long)it->checked_bytes, it->io_evict, it->io_load, it->scan,
		       (unsigned long long)it->scan_zero_bytes, it->scan_error);
	else
		printf("%u: evict %.3f s %.1f GB/s (%s), commit %.1f ms, load %.3f s %.1f GB/s "
		       "(%s), "
		       "first range %.1f ms, raw %.1f GB/s, compared %.1f GB, scan %.1f ms %.1f GB "
		       "zero%s%s\n",
		       index + 1, it->evict, bytes / it->evict / 1e9, it->io_evict,
		       it->commit * 1e3, it->load, bytes / it->load / 1e9, it->io_load,
		       it->first_ready * 1e3, it->raw, it->checked_bytes / 1e9, it->scan * 1e3,
		       it->scan_zero_bytes / 1e9, *it->scan_error ? ": " : "", it->scan_error);
	fflush(stdout);
}

static void print_head(const struct bench *bench)
{
	const struct cuda_parallel_config *c = &bench->options.config;
	char name[128] = "";
	struct statfs fs;

	bench_cuda(bench->cuda.cuDeviceGetName(name, sizeof(name), 0), "cuDeviceGetName");
	if (fstatfs(bench->dirfd, &fs))
		bench_die("%s: %s", bench->options.dir, strerror(errno));
	printf("{\"version\":\"%s\",\"device\":\"%s\",\"driver\":%d,\"cpus\":%ld,\"checksum\":\"%"
	       "s\","
	       "\"fileSystem\":\"0x%lx\",\n \"bytes\":%llu,\"allocations\":%u,\"devices\":%u,"
	       "\"streams\":%u,\"chunkBytes\":%llu,\"io\":%u,\"verify\":%u,\"spin\":%u,"
	       "\"readPiece\":%u,\"writePiece\":%u,\"zeroPercent\":%u,\"vmm\":%s,\"sync\":%s,"
	       "\"cold\":%s,\n \"initSeconds\":%.6f,\"warmInitSeconds\":%.6f,\n"
	       " \"pinnedGbPerSecond\":%.3f,\"pageableGbPerSecond\":%.3f,"
	       "\"pageFaultGbPerSecond\":%.3f,\n \"iterations\":[\n",
	       CCR_VERSION, name, bench->driver.version, sysconf(_SC_NPROCESSORS_ONLN),
	       ccr_checksum_variant(), (unsigned long)fs.f_type,
	       bench->memory.nr * (unsigned long long)bench->memory.ranges[0].bytes,
	       bench->memory.nr, bench->options.devices, c->streams,
	       (unsigned long long)c->chunk_bytes, c->io, c->verify, c->spin, c->read_piece,
	       c->write_piece, bench->options.zero_percent, bench->options.vmm ? "true" : "false",
	       bench->options.sync ? "true" : "false", bench->options.cold ? "true" : "false",
	       bench->init_seconds, bench->second_init_seconds, bench->link.pinned,
	       bench->link.pageable, bench->link.page_faults);
}

int main(int argc, char **argv)
{
	static struct bench bench;

	bench_parse_options(&bench.options, argc, argv);
	open_all(&bench);
	if (bench.options.json)
		print_head(&bench);
	else if (bench.options.link)
		printf("pinned %.1f GB/s, pageable %.1f GB/s, page faults %.1f GB/s\n",
		       bench.link.pinned, bench.link.pageable, bench.link.page_faults);
	for (uint32_t i = 0; i < bench.options.iterations; i++) {
		const bool is_last = i + 1 == bench.options.iterations;
		struct iteration it = {0};

		remove_image(&bench);
		evict(&bench, &it);
		bench_clear(&bench.memory);
		load(&bench, &it);
		it.checked_bytes = bench_check(&bench.memory, is_last);
		print_iteration(&bench, &it, i);
	}
	if (bench.options.json)
		printf("\n ]}\n");
	if (!bench.options.keep)
		remove_image(&bench);
	cuda_parallel_restore_fini(bench.engine);
	bench_free(&bench.memory);
	return 0;
}
