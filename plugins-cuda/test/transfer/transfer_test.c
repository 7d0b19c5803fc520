// SPDX-License-Identifier: MIT
#include "test/transfer/transfer_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static void cuda(CUresult result)
{
	if (result == CUDA_SUCCESS)
		return;
	fprintf(stderr, "%s\n", ccr_cuda_error_name(result));
	exit(1);
}

static char devices_path[64];

static void remove_devices(void)
{
	DIR *dir = opendir(devices_path);

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(devices_path);
}

static void run(void (*test)(struct transfer_test *t), int devices, const char *fail)
{
	struct transfer_test *t = calloc(1, sizeof(*t));
	char count[16];

	snprintf(devices_path, sizeof(devices_path), "/dev/shm/ccr-transfer-XXXXXX");
	CHECK(t && mkdtemp(devices_path));
	atexit(remove_devices);
	snprintf(count, sizeof(count), "%d", devices);
	setenv("SOFTCUDA_DIR", devices_path, 1);
	setenv("SOFTCUDA_DEVICES", count, 1);
	setenv("SOFTCUDA_MEMORY_MB", "256", 1);
	setenv("SOFTCUDA_FAIL", fail ? fail : "", 1);
	t->dirfd = image_directory();
	t->config = (struct cuda_parallel_config){.streams = 2, .chunk_bytes = MIB, .verify = 1};
	CHECK(!ccr_driver_open(&t->driver, getenv("CRIU_CUDA_DRIVER"), image_error, 512));
	CHECK(!ccr_cuda_load(&t->cuda, &t->driver, image_error, 512));
	cuda(t->cuda.cuInit(0));
	test(t);
	cuda_parallel_restore_fini(t->engine);
	close(t->dirfd);
	free(t);
	exit(0);
}

void transfer_case(const char *name, void (*test)(struct transfer_test *t), int devices,
		   const char *fail)
{
	const char *driver = getenv("CRIU_CUDA_DRIVER");
	int status;
	pid_t pid;

	if (!driver || access(driver, R_OK)) {
		printf("skipped: CRIU_CUDA_DRIVER names no software driver\n");
		exit(SKIP);
	}
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		run(test, devices, fail);
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status) {
		fprintf(stderr, "%s: exit code %d, signal %d\n", name,
			WIFEXITED(status) ? WEXITSTATUS(status) : -1,
			WIFSIGNALED(status) ? WTERMSIG(status) : 0);
		exit(1);
	}
}

void transfer_start(struct transfer_test *t, int devices)
{
	int list[CUDA_PARALLEL_MAX_DEVICES];

	for (int i = 0; i < devices; i++)
		list[i] = i;
	CHECK(!cuda_parallel_restore_init(&t->engine, &t->cuda, &t->config, list, devices,
					  image_error, sizeof(image_error)));
}

void transfer_stop(struct transfer_test *t)
{
	cuda_parallel_restore_fini(t->engine);
	t->engine = NULL;
}

static void use(struct transfer_test *t, int device)
{
	static CUcontext contexts[CUDA_PARALLEL_MAX_DEVICES];

	if (!contexts[device])
		cuda(t->cuda.cuDevicePrimaryCtxRetain(&contexts[device], device));
	cuda(t->cuda.cuCtxSetCurrent(contexts[device]));
}

static void fill_one(struct transfer_test *t, uint32_t index)
{
	const struct cuda_parallel_range *range = &t->ranges[index];
	void *data = malloc(range->bytes);

	CHECK(data);
	image_expected(data, range->bytes, index);
	use(t, range->device);
	cuda(t->cuda.cuMemcpyHtoD_v2(range->address, data, range->bytes));
	free(data);
}

void transfer_add(struct transfer_test *t, int device, uint64_t bytes)
{
	struct cuda_parallel_range *range = &t->ranges[t->nr];

	CHECK(t->nr < MAX_RANGES);
	range->device = device;
	range->bytes = bytes;
	use(t, device);
	cuda(t->cuda.cuMemAlloc_v2(&range->address, bytes));
	fill_one(t, t->nr++);
}

void transfer_clear(struct transfer_test *t)
{
	for (uint32_t i = 0; i < t->nr; i++) {
		use(t, t->ranges[i].device);
		cuda(t->cuda.cuMemsetD8_v2(t->ranges[i].address, 0xa5, t->ranges[i].bytes));
		/* Otherwise it would run concurrently with the engine's streams. */
		cuda(t->cuda.cuCtxSynchronize());
	}
}

void transfer_check(struct transfer_test *t)
{
	for (uint32_t i = 0; i < t->nr; i++) {
		const struct cuda_parallel_range *range = &t->ranges[i];
		unsigned char *expected = malloc(range->bytes), *found = malloc(range->bytes);

		CHECK(expected && found);
		image_expected(expected, range->bytes, i);
		use(t, range->device);
		cuda(t->cuda.cuMemcpyDtoH_v2(found, range->address, range->bytes));
		if (memcmp(expected, found, range->bytes)) {
			fprintf(stderr, "range %u of %llu bytes: wrong content\n", i,
				(unsigned long long)range->bytes);
			exit(1);
		}
		free(expected);
		free(found);
	}
}

struct ccr_image_writer *transfer_writer(struct transfer_test *t, int pid)
{
	const struct ccr_image_options options = {
		.nr_writers = t->config.streams,
		.driver_version = t->driver.version,
		.chunk_size = t->config.chunk_bytes,
	};
	struct ccr_image_writer *writer;

	CHECK(!ccr_image_writer_begin(&writer, t->dirfd, pid, &options, image_error, 512));
	for (int i = 0; i < 8; i++) {
		const struct ccr_image_device device = {.uuid = {i}};

		CHECK(!ccr_image_writer_add_device(writer, &device));
	}
	for (uint32_t i = 0; i < t->nr; i++) {
		const struct ccr_image_allocation allocation = {
			.id = i + 1,
			.address = t->ranges[i].address,
			.size = t->ranges[i].bytes,
			.device = t->ranges[i].device,
		};

		CHECK(!ccr_image_writer_add_allocation(writer, &allocation));
	}
	return writer;
}

/* Clears the results, but keeps the callbacks. */
static void reset_job(struct transfer_test *t)
{
	t->job = (struct cuda_parallel_job){
		.config = t->job.config,
		.ready = t->job.ready,
		.progress = t->job.progress,
		.argument = t->job.argument,
	};
}

int transfer_dump(struct transfer_test *t, int pid)
{
	struct ccr_image_writer *writer = transfer_writer(t, pid);
	int ret;

	reset_job(t);
	ret = cuda_parallel_dump_memory(t->engine, writer, t->ranges, t->nr, &t->job);
	if (!ret)
		return ccr_image_writer_commit(writer, t->job.error, sizeof(t->job.error));
	ccr_image_writer_abort(writer);
	return ret;
}

int transfer_load(struct transfer_test *t, int pid)
{
	struct ccr_image *image;
	int ret;

	reset_job(t);
	ret = ccr_image_open(&image, t->dirfd, pid, t->job.error, sizeof(t->job.error));
	if (ret)
		return ret;
	ret = cuda_parallel_restore_memory(t->engine, image, t->ranges, t->nr, &t->job);
	ccr_image_close(image);
	return ret;
}

void transfer_round_trip(struct transfer_test *t, int pid)
{
	const int dumped = transfer_dump(t, pid);

	if (dumped)
		fprintf(stderr, "dump: %s\n", t->job.error);
	CHECK(!dumped);
	transfer_clear(t);
	if (transfer_load(t, pid)) {
		fprintf(stderr, "load: %s\n", t->job.error);
		exit(1);
	}
	transfer_check(t);
}
