// SPDX-License-Identifier: MIT
/*
 * Failures while copying: each ends the job with a message that names the file
 * or the driver call, leaves no files, and the engine remains usable.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "transfer/io/io.h"
#include "test/transfer/transfer_test.h"

static const char *failing_call; /* SAYS looks for it */

static void add_some(struct transfer_test *t)
{
	for (int i = 0; i < 9; i++)
		transfer_add(t, 0, i * 400 * KIB + 4096);
}

static void test_dump_fails(struct transfer_test *t)
{
	transfer_start(t, 1);
	add_some(t);
	CHECK(transfer_dump(t, 5) == -EIO);
	SAYS(t->job.error, failing_call, "CUDA_ERROR_ILLEGAL_ADDRESS");
	CHECK(image_count_files() == 0);
	transfer_round_trip(t, 5);
}

static void test_load_fails(struct transfer_test *t)
{
	transfer_start(t, 1);
	add_some(t);
	CHECK(!transfer_dump(t, 5));
	CHECK(transfer_load(t, 5) == -EIO);
	SAYS(t->job.error, failing_call, "CUDA_ERROR_ILLEGAL_ADDRESS");
	transfer_clear(t);
	CHECK(!transfer_load(t, 5));
	transfer_check(t);
}

static void test_init_fails(struct transfer_test *t)
{
	const int device = 0;

	CHECK(cuda_parallel_restore_init(&t->engine, &t->cuda, &t->config, &device, 1, image_error,
					 512) == -ENOMEM);
	SAYS(image_error, failing_call, "CUDA_ERROR_OUT_OF_MEMORY");
	CHECK(!t->engine);
	transfer_start(t, 1);
	add_some(t);
	transfer_round_trip(t, 5);
}

static void injected(void)
{
	static const struct {
		const char *fail, *call;
		void (*test)(struct transfer_test *t);
	} cases[] = {
		{"cuMemcpyDtoHAsync_v2:1:700", "cuMemcpyDtoHAsync", test_dump_fails},
		{"cuMemcpyDtoHAsync_v2:9:700", "cuMemcpyDtoHAsync", test_dump_fails},
		{"cuEventRecord:3:700", "cuEventRecord", test_dump_fails},
		{"cuEventSynchronize:4:700", "cuEventSynchronize", test_dump_fails},
		{"cuMemcpyHtoDAsync_v2:1:700", "cuMemcpyHtoDAsync", test_load_fails},
		{"cuMemcpyHtoDAsync_v2:7:700", "cuMemcpyHtoDAsync", test_load_fails},
		{"cuMemsetD8Async:1:700", "cuMemsetD8Async", test_load_fails},
		{"cuDevicePrimaryCtxRetain:1:2", "cuDevicePrimaryCtxRetain", test_init_fails},
		{"cuCtxSetCurrent:2:2", "cuCtxSetCurrent", test_init_fails},
		{"cuMemHostRegister_v2:1:2,cuMemHostRegister_v2:3:2", "cuMemHostRegister",
		 test_init_fails},
		{"cuStreamCreate:1:2", "cuStreamCreate", test_init_fails},
		{"cuEventCreate:3:2", "cuEventCreate", test_init_fails},
		{"cuDeviceGetCount:1:2", "cuDeviceGetCount", test_init_fails},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		failing_call = cases[i].call;
		transfer_case(cases[i].fail, cases[i].test, 1, cases[i].fail);
	}
}

static void test_wrong_checksum(struct transfer_test *t)
{
	struct ccr_image *image;
	unsigned char byte;
	uint64_t place;

	transfer_start(t, 1);
	add_some(t);
	CHECK(!transfer_dump(t, 5));
	CHECK(!ccr_image_open(&image, t->dirfd, 5, image_error, 512));
	/* Damage the last stored chunk, so that everything before it is correct. */
	const struct ccr_image_chunk *chunk = &image->chunks[image->nr_chunks - 1];

	while (chunk->is_zero)
		chunk--;
	place = chunk->offset + chunk->length - 1;
	CHECK(pread(image->stripes[chunk->stripe].fd, &byte, 1, place) == 1);
	byte ^= 1;
	image_patch(image->stripes[chunk->stripe].name, place, &byte, 1);
	for (int io = CCR_IO_PREAD; io <= CCR_IO_MMAP; io++) {
		transfer_stop(t);
		t->config.io = io;
		transfer_start(t, 1);
		CHECK(transfer_load(t, 5) == -EBADMSG);
		SAYS(t->job.error, image->stripes[chunk->stripe].name, "xxh3");
	}
	transfer_stop(t);
	t->config.verify = 0;
	transfer_start(t, 1);
	CHECK(!transfer_load(t, 5)); /* verify is off */
	ccr_image_close(image);
}

/* The same for a chunk that is read in pieces because the buffer is smaller. */
static void test_wrong_checksum_in_pieces(struct transfer_test *t)
{
	const unsigned char byte = 0xee;

	t->config.chunk_bytes = 4 * MIB;
	t->config.streams = 1;
	transfer_start(t, 1);
	transfer_add(t, 0, 4096);
	transfer_add(t, 0, 4 * MIB);
	CHECK(!transfer_dump(t, 5));
	transfer_stop(t);
	t->config.chunk_bytes = MIB;
	transfer_start(t, 1);
	CHECK(!transfer_load(t, 5));
	image_patch("cuda-5-0.img", 12345, &byte, 1);
	CHECK(transfer_load(t, 5) == -EBADMSG);
	SAYS(t->job.error, "cuda-5-0.img: chunk 1 at offset 0", "xxh3");
}

static void load_from(struct transfer_test *t, struct ccr_image *image, int expected,
		      const char *word)
{
	t->job = (struct cuda_parallel_job){0};
	CHECK(cuda_parallel_restore_memory(t->engine, image, t->ranges, t->nr, &t->job) ==
	      expected);
	SAYS(t->job.error, "cuda-5-0.img: read of", word);
}

/* Files that change after they were opened, and a failing disk. */
static void test_read_errors(struct transfer_test *t)
{
	for (int io = CCR_IO_PREAD; io <= CCR_IO_MMAP; io++) {
		struct ccr_image *image;
		int fd;

		t->config.io = io;
		t->config.streams = 1;
		transfer_start(t, 1);
		t->nr = 0;
		add_some(t);
		CHECK(!transfer_dump(t, 5));
		CHECK(!ccr_image_open(&image, t->dirfd, 5, image_error, 512));
		fd = openat(t->dirfd, "cuda-5-0.img", O_WRONLY | O_CLOEXEC);
		CHECK(fd >= 0 && !ftruncate(fd, image->stripes[0].size - 8192));
		close(fd);
		load_from(t, image, -ENODATA, "the file is too short");
		/* Reading page 0 of an address space always fails with EIO. */
		fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0 && dup3(fd, image->stripes[0].fd, O_CLOEXEC) >= 0);
		close(fd);
		load_from(t, image, -EIO, "Input/output error");
		ccr_image_close(image);
		transfer_stop(t);
	}
}

static void test_write_error(struct transfer_test *t)
{
	for (int io = CCR_IO_PREAD; io <= CCR_IO_MMAP; io++) {
		const struct ccr_image_stripe *stripe;
		struct ccr_image_writer *writer;
		int fd;

		t->config.io = io;
		t->config.streams = 1;
		transfer_start(t, 1);
		t->nr = 0;
		add_some(t);
		writer = transfer_writer(t, 5);
		CHECK(!ccr_image_writer_stripe(writer, 0, &stripe, image_error, 512));
		fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		CHECK(fd >= 0 && dup3(fd, stripe->fd, O_CLOEXEC) >= 0);
		close(fd);
		t->job = (struct cuda_parallel_job){0};
		CHECK(cuda_parallel_dump_memory(t->engine, writer, t->ranges, t->nr, &t->job) ==
		      -EIO);
		SAYS(t->job.error, "cuda-5-0.img.tmp: write of", "Input/output error");
		ccr_image_writer_abort(writer);
		CHECK(image_count_files() == 0);
		transfer_stop(t);
	}
}

static void test_full_disk(struct transfer_test *t)
{
	for (int io = CCR_IO_PREAD; io <= CCR_IO_DIRECT; io++) {
		t->config.io = io;
		transfer_start(t, 1);
		t->nr = 0;
		add_some(t);
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("tmpfs", image_directory_path(), "tmpfs", 0, "size=2m")) {
			printf("full disk: not tested: cannot mount a tmpfs: %s\n",
			       strerror(errno));
			return;
		}
		close(t->dirfd);
		t->dirfd = open(image_directory_path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		CHECK(transfer_dump(t, 5) == -ENOSPC);
		SAYS(t->job.error, ".img.tmp: write of", "No space left");
		CHECK(image_count_files() == 0);
		close(t->dirfd);
		CHECK(!umount2(image_directory_path(), MNT_DETACH));
		t->dirfd = open(image_directory_path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		transfer_round_trip(t, 5);
		image_remove_files();
		transfer_stop(t);
	}
}

/* SIGXFSZ would end the process if engine threads did not block it. */
static void test_size_limit(struct transfer_test *t)
{
	const struct rlimit limit = {.rlim_cur = MIB, .rlim_max = MIB};

	transfer_start(t, 1);
	add_some(t);
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	CHECK(transfer_dump(t, 5) == -EFBIG);
	SAYS(t->job.error, ".img.tmp: write of", "File too large");
	CHECK(image_count_files() == 0);
}

static void cancel_at_once(void *argument, uint64_t done, uint64_t total)
{
	cuda_parallel_cancel(argument);
}

static void test_cancel(struct transfer_test *t)
{
	transfer_start(t, 1);
	for (int i = 0; i < 20; i++)
		transfer_add(t, 0, 2 * MIB);
	t->job.progress = cancel_at_once;
	t->job.argument = &t->job;
	CHECK(transfer_dump(t, 5) == -ECANCELED);
	SAYS(t->job.error, "cancelled", "");
	CHECK(image_count_files() == 0);
	t->job.progress = NULL;
	CHECK(!transfer_dump(t, 5));
	t->job.progress = cancel_at_once;
	CHECK(transfer_load(t, 5) == -ECANCELED);
	t->job.progress = NULL;
	transfer_clear(t);
	CHECK(!transfer_load(t, 5));
	transfer_check(t);
}

static void test_wrong_ranges(struct transfer_test *t)
{
	const struct cuda_parallel_range good = {0, 0x1000, 4096};
	struct cuda_parallel_range range = good;
	char byte[4096];

	transfer_start(t, 1);
	add_some(t);
	CHECK(!transfer_dump(t, 5));
	t->nr--;
	CHECK(transfer_load(t, 5) == -EINVAL);
	SAYS(t->job.error, "cuda-5.img: 9 allocations", "8 ranges");
	t->nr++;
	t->ranges[3].bytes -= 4096;
	CHECK(transfer_load(t, 5) == -EINVAL);
	SAYS(t->job.error, "cuda-5.img: allocations[3].size", "the range has");
	t->ranges[3].bytes += 4096;
	t->ranges[3].device = 1;
	CHECK(transfer_load(t, 5) == -ENODEV);
	SAYS(t->job.error, "range 3: device 1 does not exist", "");
	t->ranges[3].device = 0;
	for (int i = 0; i < 3; i++) {
		range = good;
		if (i == 0)
			range.bytes = 0;
		else if (i == 1)
			range.address = 0;
		else
			range.bytes = UINT64_MAX;
		CHECK(cuda_parallel_restore_buffer(t->engine, &range, byte, &t->job) == -EINVAL);
	}
	/* The driver refuses addresses that were not allocated, and the job reports it. */
	CHECK(cuda_parallel_restore_buffer(t->engine, &good, byte, &t->job) == -EIO);
	SAYS(t->job.error, "cuMemcpyHtoDAsync of 4096 bytes at 0x1000 of device 0", "CUDA_ERROR");
	CHECK(!transfer_load(t, 5));
	transfer_check(t);
}

static void test_wrong_writer(struct transfer_test *t)
{
	struct ccr_image_writer *writer;

	t->config.streams = 1;
	transfer_start(t, 1);
	add_some(t);
	writer = transfer_writer(t, 5);
	transfer_stop(t);
	t->config.streams = 2;
	transfer_start(t, 1);
	CHECK(cuda_parallel_dump_memory(t->engine, writer, t->ranges, t->nr, &t->job) == -EINVAL);
	SAYS(t->job.error, "1 writers", "2 streams");
	ccr_image_writer_abort(writer);
}

static void test_wrong_config(struct transfer_test *t)
{
	const struct cuda_parallel_config good = t->config;
	const int devices[] = {0, 1};

#define REFUSED(field, value, nr, result, word)                                                 \
	do {                                                                                    \
		t->config = good;                                                               \
		t->config.field = value;                                                        \
		CHECK(cuda_parallel_restore_init(&t->engine, &t->cuda, &t->config, devices, nr, \
						 image_error, 512) == (result));                \
		SAYS(image_error, word, "");                                                    \
	} while (0)

	REFUSED(streams, 0, 1, -EINVAL, "streams is 0; accepted: 1-32");
	REFUSED(streams, 33, 1, -EINVAL, "streams is 33");
	REFUSED(chunk_bytes, 0, 1, -EINVAL, "chunk_bytes");
	REFUSED(chunk_bytes, MIB + 4096, 1, -EINVAL, "chunk_bytes");
	REFUSED(chunk_bytes, 513 * MIB, 1, -EINVAL, "chunk_bytes");
	REFUSED(io, 9, 1, -EINVAL, "io is 9");
	REFUSED(read_piece, 100, 1, -EINVAL, "read_piece 100");
	REFUSED(streams, 2, 0, -EINVAL, "0 devices");
	REFUSED(streams, 2, 2, -ENODEV, "device 1 does not exist");
}

/* Simulates a file system that requires an alignment of more than 4 KiB. */
static void test_wrong_alignment(struct transfer_test *t)
{
	static char out[64 * KIB + 8], in[64 * KIB + 8];
	struct ccr_io_file file = {.name = "unaligned"};
	struct ccr_io_queue queue = {0};

	file.fd = openat(t->dirfd, file.name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(file.fd >= 0);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 31 + i / 256);
	ccr_io_direct.begin(&file, true);
	CHECK(!ccr_io_direct.write(&queue, &file, out + 3, 64 * KIB, 4096));
	ccr_io_direct.end(&file);
	ccr_io_direct.begin(&file, false);
	CHECK(!ccr_io_direct.read(&queue, &file, in + 5, 64 * KIB, 4096));
	ccr_io_direct.end(&file);
	CHECK(!memcmp(in + 5, out + 3, 64 * KIB));
	ccr_io_queue_end(&queue);
	close(file.fd);
	CHECK(!unlinkat(t->dirfd, file.name, 0));
}

int main(void)
{
	injected();
	transfer_case("wrong checksum", test_wrong_checksum, 1, NULL);
	transfer_case("wrong checksum in pieces", test_wrong_checksum_in_pieces, 1, NULL);
	transfer_case("read errors", test_read_errors, 1, NULL);
	transfer_case("write error", test_write_error, 1, NULL);
	transfer_case("full disk", test_full_disk, 1, NULL);
	transfer_case("file size limit", test_size_limit, 1, NULL);
	transfer_case("cancel", test_cancel, 1, NULL);
	transfer_case("wrong ranges", test_wrong_ranges, 1, NULL);
	transfer_case("wrong writer", test_wrong_writer, 1, NULL);
	transfer_case("wrong configuration", test_wrong_config, 1, NULL);
	transfer_case("wrong alignment", test_wrong_alignment, 1, NULL);
	return 0;
}
