// SPDX-License-Identifier: MIT
#include "transfer/library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cuda_parallel_session {
	struct ccr_driver driver;
	struct ccr_cuda cuda;
	struct cuda_parallel_config config;
	struct cuda_parallel_engine *engine;
	CUcontext context;
	int device;
};

static int checked(CUresult result, const char *call, char *error, size_t size)
{
	if (result == CUDA_SUCCESS)
		return 0;
	snprintf(error, size, "%s: %s", call, ccr_cuda_error_name(result));
	return result == CUDA_ERROR_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

#define CALL(session, function, ...) \
	checked((session)->cuda.function(__VA_ARGS__), #function, error, error_size)

static int start(struct cuda_parallel_session *session, const char *driver, char *error,
		 size_t error_size)
{
	struct ccr_settings settings;
	CUdevice handle;
	int ret;

	ret = ccr_settings_load(&settings, NULL, error, error_size);
	if (!ret)
		ret = ccr_driver_open(&session->driver,
				      driver && *driver ? driver : settings.driver, error,
				      error_size);
	if (!ret)
		ret = ccr_cuda_load(&session->cuda, &session->driver, error, error_size);
	if (!ret)
		ret = CALL(session, cuInit, 0);
	if (!ret)
		ret = cuda_parallel_restore_init(&session->engine, &session->cuda, &session->config,
						 &session->device, 1, error, error_size);
	if (!ret)
		ret = CALL(session, cuDeviceGet, &handle, session->device);
	if (!ret)
		ret = CALL(session, cuDevicePrimaryCtxRetain, &session->context, handle);
	return ret;
}

int cuda_parallel_session_open(struct cuda_parallel_session **out, const char *driver, int device,
			       int streams, int chunk_mb, int verify, int io, char *error,
			       size_t error_size)
{
	struct cuda_parallel_session *session = calloc(1, sizeof(*session));
	int ret;

	if (!session) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	session->device = device;
	ret = cuda_parallel_config_from_env(&session->config, error, error_size);
	if (streams >= 0)
		session->config.streams = streams;
	if (chunk_mb >= 0)
		session->config.chunk_bytes = (uint64_t)chunk_mb << 20;
	if (verify >= 0)
		session->config.verify = verify;
	if (io >= 0)
		session->config.io = io;
	if (!ret)
		ret = start(session, driver, error, error_size);
	if (ret)
		cuda_parallel_session_close(session);
	else
		*out = session;
	return ret;
}

void cuda_parallel_session_close(struct cuda_parallel_session *session)
{
	if (!session)
		return;
	cuda_parallel_restore_fini(session->engine);
	if (session->context)
		session->cuda.cuDevicePrimaryCtxRelease_v2(session->device);
	free(session);
}

int cuda_parallel_session_allocate(struct cuda_parallel_session *session, uint64_t bytes,
				   uint64_t *address, char *error, size_t error_size)
{
	CUdeviceptr pointer = 0;
	int ret;

	ret = CALL(session, cuCtxSetCurrent, session->context);
	if (!ret)
		ret = CALL(session, cuMemAlloc_v2, &pointer, bytes);
	*address = pointer;
	return ret;
}

int cuda_parallel_session_free(struct cuda_parallel_session *session, uint64_t address, char *error,
			       size_t error_size)
{
	const int ret = CALL(session, cuCtxSetCurrent, session->context);

	return ret ? ret : CALL(session, cuMemFree_v2, address);
}

/* Copies the results of a job to the caller. */
static int answer(const struct cuda_parallel_job *job, int ret, double *seconds, char *error,
		  size_t error_size)
{
	if (ret)
		snprintf(error, error_size, "%s", job->error);
	else if (seconds)
		*seconds = job->seconds;
	return ret;
}

int cuda_parallel_session_copy(struct cuda_parallel_session *session, uint64_t address, void *host,
			       uint64_t bytes, int to_device, double *seconds, char *error,
			       size_t error_size)
{
	const struct cuda_parallel_range range = {session->device, address, bytes};
	struct cuda_parallel_job job = {0};
	const int ret = to_device
				? cuda_parallel_restore_buffer(session->engine, &range, host, &job)
				: cuda_parallel_dump_buffer(session->engine, &range, host, &job);

	return answer(&job, ret, seconds, error, error_size);
}

static int open_directory(const char *dir, char *error, size_t error_size)
{
	const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int ret = fd < 0 ? -errno : fd;

	if (fd < 0)
		snprintf(error, error_size, "%s: %s", dir, strerror(-ret));
	return ret;
}

static struct cuda_parallel_range *make_ranges(const struct cuda_parallel_session *session,
					       const uint64_t *addresses, const uint64_t *sizes,
					       uint32_t nr)
{
	struct cuda_parallel_range *ranges = calloc(nr + 1, sizeof(*ranges));

	for (uint32_t i = 0; ranges && i < nr; i++)
		ranges[i] = (struct cuda_parallel_range){session->device, addresses[i], sizes[i]};
	return ranges;
}

static int describe(struct cuda_parallel_session *session, struct ccr_image_writer *writer,
		    const struct cuda_parallel_range *ranges, uint32_t nr, char *error,
		    size_t error_size)
{
	struct ccr_image_device device = {.name = ""};
	CUuuid uuid;
	int ret;

	ret = CALL(session, cuDeviceGetUuid_v2, &uuid, session->device);
	if (!ret)
		ret = CALL(session, cuDeviceGetName, device.name, sizeof(device.name),
			   session->device);
	if (ret)
		return ret;
	memcpy(device.uuid, uuid.bytes, sizeof(device.uuid));
	ret = ccr_image_writer_add_device(writer, &device);
	for (uint32_t i = 0; !ret && i < nr; i++) {
		const struct ccr_image_allocation allocation = {
			.id = i + 1,
			.address = ranges[i].address,
			.size = ranges[i].bytes,
			.requested = ranges[i].bytes,
		};

		ret = ccr_image_writer_add_allocation(writer, &allocation);
	}
	if (ret)
		snprintf(error, error_size, "out of memory");
	return ret;
}

static int write_image(struct cuda_parallel_session *session, int dirfd, int pid,
		       const struct cuda_parallel_range *ranges, uint32_t nr, double *seconds,
		       char *error, size_t error_size)
{
	const struct ccr_image_options options = {
		.nr_writers = session->config.streams,
		.driver_version = session->driver.version,
		.chunk_size = session->config.chunk_bytes,
	};
	struct cuda_parallel_job job = {0};
	struct ccr_image_writer *writer;
	int ret;

	ret = ccr_image_writer_begin(&writer, dirfd, pid, &options, error, error_size);
	if (ret)
		return ret;
	ret = describe(session, writer, ranges, nr, error, error_size);
	if (!ret) {
		ret = cuda_parallel_dump_memory(session->engine, writer, ranges, nr, &job);
		ret = answer(&job, ret, seconds, error, error_size);
	}
	if (!ret)
		return ccr_image_writer_commit(writer, error, error_size);
	ccr_image_writer_abort(writer);
	return ret;
}

static int read_image(struct cuda_parallel_session *session, int dirfd, int pid,
		      const struct cuda_parallel_range *ranges, uint32_t nr, double *seconds,
		      char *error, size_t error_size)
{
	struct cuda_parallel_job job = {0};
	struct ccr_image *image;
	int ret;

	ret = ccr_image_open(&image, dirfd, pid, error, error_size);
	if (ret)
		return ret;
	ret = cuda_parallel_restore_memory(session->engine, image, ranges, nr, &job);
	ccr_image_close(image);
	return answer(&job, ret, seconds, error, error_size);
}

typedef int (*image_action)(struct cuda_parallel_session *session, int dirfd, int pid,
			    const struct cuda_parallel_range *ranges, uint32_t nr, double *seconds,
			    char *error, size_t error_size);

static int with_image(image_action action, struct cuda_parallel_session *session, const char *dir,
		      int pid, const uint64_t *addresses, const uint64_t *sizes, uint32_t nr,
		      double *seconds, char *error, size_t error_size)
{
	struct cuda_parallel_range *ranges = make_ranges(session, addresses, sizes, nr);
	const int dirfd = open_directory(dir, error, error_size);
	int ret = dirfd < 0 ? dirfd : -ENOMEM;

	if (ranges && dirfd >= 0)
		ret = action(session, dirfd, pid, ranges, nr, seconds, error, error_size);
	else if (!ranges)
		snprintf(error, error_size, "out of memory");
	if (dirfd >= 0)
		close(dirfd);
	free(ranges);
	return ret;
}

int cuda_parallel_session_dump(struct cuda_parallel_session *session, const char *dir, int pid,
			       const uint64_t *addresses, const uint64_t *sizes, uint32_t nr,
			       double *seconds, char *error, size_t error_size)
{
	return with_image(write_image, session, dir, pid, addresses, sizes, nr, seconds, error,
			  error_size);
}

int cuda_parallel_session_load(struct cuda_parallel_session *session, const char *dir, int pid,
			       const uint64_t *addresses, const uint64_t *sizes, uint32_t nr,
			       double *seconds, char *error, size_t error_size)
{
	return with_image(read_image, session, dir, pid, addresses, sizes, nr, seconds, error,
			  error_size);
}

int cuda_parallel_image_verify(const char *dir, int pid, uint32_t threads, char *error,
			       size_t error_size)
{
	const int dirfd = open_directory(dir, error, error_size);
	struct ccr_image_verify_result result;
	struct ccr_image *image;
	int ret;

	if (dirfd < 0)
		return dirfd;
	ret = ccr_image_open(&image, dirfd, pid, error, error_size);
	close(dirfd);
	if (ret)
		return ret;
	ret = ccr_image_verify(image, threads, &result, error, error_size);
	ccr_image_close(image);
	return ret;
}
