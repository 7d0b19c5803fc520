// SPDX-License-Identifier: MIT
/*
 * Copies device memory to a GPU image and back: odd sizes, zeroes, many small
 * ranges, several devices, every back-end, host buffers, callbacks, concurrent
 * jobs.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include "test/transfer/transfer_test.h"

static const uint64_t odd_sizes[] = {
	1,	 7,	  4095, 4096, 4097, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 12345,
	2 * MIB, 5 * MIB,
};

static void add_odd(struct transfer_test *t)
{
	for (size_t i = 0; i < sizeof(odd_sizes) / sizeof(odd_sizes[0]); i++)
		transfer_add(t, 0, odd_sizes[i]);
}

static void test_odd_sizes(struct transfer_test *t)
{
	transfer_start(t, 1);
	add_odd(t);
	transfer_round_trip(t, 5);
	/* Every fourth range is zero. */
	CHECK(t->job.zero_bytes == 1 + 4097 + MIB + 1);
	transfer_round_trip(t, 6);
}

static void test_backend(struct transfer_test *t, enum ccr_io io, const char *name)
{
	t->config.io = io;
	t->config.streams = 3;
	transfer_start(t, 1);
	add_odd(t);
	transfer_round_trip(t, 5);
	CHECK(!strcmp(t->job.io, name));
}

static void test_pread(struct transfer_test *t)
{
	test_backend(t, CCR_IO_PREAD, "pread");
}

static void test_direct(struct transfer_test *t)
{
	test_backend(t, CCR_IO_DIRECT, "direct");
}

static void test_mmap(struct transfer_test *t)
{
	test_backend(t, CCR_IO_MMAP, "mmap");
}

static void test_auto_on_memory(struct transfer_test *t)
{
	char path[] = "/dev/shm/ccr-transfer-XXXXXX";

	CHECK(mkdtemp(path));
	close(t->dirfd);
	t->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(t->dirfd >= 0);
	test_backend(t, CCR_IO_AUTO, "pread");
	CHECK(!unlinkat(t->dirfd, "cuda-5.img", 0));
	for (int i = 0; i < 3; i++) {
		char name[CCR_IMAGE_NAME_MAX];

		ccr_image_stripe_name(name, 5, i);
		unlinkat(t->dirfd, name, 0);
	}
	CHECK(!rmdir(path));
}

/* io_uring may be missing in the kernel or forbidden by a container's filter. */
static void test_direct_without_uring(struct transfer_test *t)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {.len = 4, .filter = code};

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
	CHECK(syscall(SYS_io_uring_setup, 1, NULL) == -1 && errno == ENOSYS);
	test_backend(t, CCR_IO_DIRECT, "direct");
}

static void test_many_small(struct transfer_test *t)
{
	struct ccr_image *image;

	t->config.streams = 4;
	t->config.chunk_bytes = 8 * MIB;
	transfer_start(t, 1);
	for (int i = 0; i < 3000; i++)
		transfer_add(t, 0, i % 3 ? 16 * KIB : 5000);
	transfer_round_trip(t, 5);
	CHECK(!ccr_image_open(&image, t->dirfd, 5, image_error, 512));
	CHECK(image->nr_chunks == 3000 && image->nr_allocations == 3000);
	ccr_image_close(image);
}

static void test_devices(struct transfer_test *t)
{
	t->config.streams = 5;
	transfer_start(t, 2); /* the job creates the context of the third device */
	for (int i = 0; i < 30; i++)
		transfer_add(t, i % 3, (i + 1) * 100 * KIB);
	transfer_round_trip(t, 5);
}

/* Write with large chunks and read with small buffers, and vice versa. */
static void test_chunk_sizes(struct transfer_test *t)
{
	t->config.chunk_bytes = 4 * MIB;
	transfer_start(t, 1);
	for (int i = 0; i < 6; i++)
		transfer_add(t, 0, 7 * MIB + i * 4097);
	CHECK(!transfer_dump(t, 5));
	transfer_stop(t);
	for (int chunk = 1; chunk <= 16; chunk *= 4) {
		for (int verify = 0; verify < 2; verify++) {
			t->config.chunk_bytes = chunk * MIB;
			t->config.verify = verify;
			transfer_start(t, 1);
			transfer_clear(t);
			CHECK(!transfer_load(t, 5));
			transfer_check(t);
			transfer_stop(t);
		}
	}
}

static void test_all_zero(struct transfer_test *t)
{
	transfer_start(t, 1);
	transfer_add(t, 0, 3 * MIB);
	transfer_round_trip(t, 5);
	CHECK(t->job.zero_bytes == 3 * MIB && t->job.stored_bytes == 0);
	CHECK(image_count_files() == 1);
}

static void test_pieces(struct transfer_test *t)
{
	t->config.read_piece = 12 * KIB;
	t->config.write_piece = 20 * KIB;
	t->config.spin = 1;
	transfer_start(t, 1);
	add_odd(t);
	transfer_round_trip(t, 5);
}

/* The padding after a chunk of odd size must not contain other memory. */
static void test_padding(struct transfer_test *t)
{
	static const unsigned char zero[4096];
	unsigned char gap[4096];
	struct ccr_image *image;

	t->config.streams = 1;
	transfer_start(t, 1);
	for (int i = 0; i < 9; i++)
		transfer_add(t, 0, i == 1 ? 2 * MIB : 6000);
	CHECK(!transfer_dump(t, 5));
	CHECK(!ccr_image_open(&image, t->dirfd, 5, image_error, 512));
	for (size_t i = 0; i < image->nr_chunks; i++) {
		const struct ccr_image_chunk *chunk = &image->chunks[i];

		if (chunk->is_zero || chunk->length != 6000)
			continue;
		CHECK(pread(image->stripes[0].fd, gap, 8192 - 6000, chunk->offset + 6000) ==
		      8192 - 6000);
		CHECK(!memcmp(gap, zero, 8192 - 6000));
	}
	ccr_image_close(image);
}

/* An image whose chunks are in a stripe in an order that this engine does not write. */
static void test_foreign_order(struct transfer_test *t)
{
	unsigned char *data = malloc(MIB);
	struct ccr_image_writer *writer;

	CHECK(data);
	t->config.streams = 1;
	transfer_start(t, 1);
	for (int i = 0; i < 10; i++)
		transfer_add(t, 0, 100 * KIB);
	writer = transfer_writer(t, 5);
	for (int i = 9; i >= 0; i--) {
		image_expected(data, 100 * KIB, i);
		CHECK(!ccr_image_writer_append(writer, 0, i, 0, data, 100 * KIB, image_error, 512));
	}
	CHECK(!ccr_image_writer_commit(writer, image_error, 512));
	free(data);
	transfer_clear(t);
	CHECK(!transfer_load(t, 5));
	transfer_check(t);
}

static void test_host_buffer(struct transfer_test *t)
{
	const uint64_t bytes = 9 * MIB + 777;
	unsigned char *data = malloc(bytes), *back = malloc(bytes);

	CHECK(data && back);
	transfer_start(t, 1);
	transfer_add(t, 0, bytes);
	image_pattern(data, bytes, 99);
	memset(back, 0, bytes);
	CHECK(!cuda_parallel_restore_buffer(t->engine, t->ranges, data, &t->job));
	t->job = (struct cuda_parallel_job){0};
	CHECK(!cuda_parallel_dump_buffer(t->engine, t->ranges, back, &t->job));
	CHECK(!memcmp(data, back, bytes));
	t->ranges[0].bytes = 5;
	memset(back, 0, 16);
	CHECK(!cuda_parallel_dump_buffer(t->engine, t->ranges, back, &t->job));
	CHECK(!memcmp(data, back, 5) && !back[5]);
	free(data);
	free(back);
}

struct seen {
	uint32_t ready[64], nr_ready;
	uint64_t done, total;
	bool is_inside;
};

static void on_ready(void *argument, uint32_t range)
{
	struct seen *seen = argument;

	CHECK(!seen->is_inside && range < 64);
	seen->is_inside = true;
	seen->ready[range]++;
	seen->nr_ready++;
	seen->is_inside = false;
}

static void on_progress(void *argument, uint64_t done, uint64_t total)
{
	struct seen *seen = argument;

	CHECK(!seen->is_inside && done >= seen->done && done <= total);
	seen->done = done;
	seen->total = total;
}

static void test_callbacks(struct transfer_test *t)
{
	struct seen seen = {0};
	uint64_t total = 0;

	t->config.streams = 4;
	transfer_start(t, 1);
	for (int i = 0; i < 40; i++) {
		transfer_add(t, 0, (i % 7 + 1) * 300 * KIB);
		total += t->ranges[i].bytes;
	}
	t->job.ready = on_ready;
	t->job.progress = on_progress;
	t->job.argument = &seen;
	for (int load = 0; load < 2; load++) {
		seen = (struct seen){0};
		CHECK(!(load ? transfer_load(t, 5) : transfer_dump(t, 5)));
		CHECK(seen.nr_ready == 40 && seen.done == total && seen.total == total);
		CHECK(t->job.total_bytes == total && t->job.seconds > 0);
		for (int i = 0; i < 40; i++)
			CHECK(seen.ready[i] == 1);
	}
	transfer_check(t);
}

struct part {
	struct transfer_test t; /* its own ranges on the shared engine */
	int pid;
};

static void *round_trips(void *argument)
{
	struct part *part = argument;

	for (int i = 0; i < 5; i++)
		CHECK(!transfer_dump(&part->t, part->pid) && !transfer_load(&part->t, part->pid));
	return NULL;
}

static void test_jobs_at_once(struct transfer_test *t)
{
	struct part *parts = calloc(4, sizeof(*parts));
	pthread_t threads[4];

	CHECK(parts);
	t->config.streams = 3;
	transfer_start(t, 2);
	for (int i = 0; i < 4; i++) {
		parts[i].t = *t;
		parts[i].pid = 5 + i;
		for (int range = 0; range < 5; range++)
			transfer_add(&parts[i].t, range % 2, 700 * KIB + i);
	}
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&threads[i], NULL, round_trips, &parts[i]));
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_join(threads[i], NULL));
	for (int i = 0; i < 4; i++) {
		transfer_check(&parts[i].t);
		transfer_round_trip(&parts[i].t, parts[i].pid);
	}
	free(parts);
}

static void test_config_of_a_job(struct transfer_test *t)
{
	struct cuda_parallel_config config = {.streams = 1, .chunk_bytes = MIB, .io = CCR_IO_MMAP};

	t->config.io = CCR_IO_PREAD;
	transfer_start(t, 1);
	CHECK(cuda_parallel_engine_config(t->engine)->streams == 2);
	add_odd(t);
	transfer_round_trip(t, 5);
	CHECK(!strcmp(t->job.io, "pread"));
	t->job.config = &config;
	transfer_round_trip(t, 5);
	CHECK(!strcmp(t->job.io, "mmap"));
	image_patch("cuda-5-0.img", 0, "x", 1);
	CHECK(!transfer_load(t, 5));
	config.verify = 1;
	CHECK(transfer_load(t, 5) == -EBADMSG);
	config.io = 12;
	CHECK(transfer_load(t, 5) == -EINVAL);
	SAYS(t->job.error, "io is 12", "");
}

static void test_config_from_env(struct transfer_test *t)
{
	setenv("CRIU_CUDA_STREAMS", "3", 1);
	setenv("CRIU_CUDA_CHUNK_MB", "2", 1);
	setenv("CRIU_CUDA_VERIFY", "0", 1);
	setenv("CRIU_CUDA_IO", "mmap", 1);
	CHECK(!cuda_parallel_config_from_env(&t->config, image_error, 512));
	CHECK(t->config.streams == 3 && t->config.chunk_bytes == 2 * MIB && !t->config.verify);
	CHECK(t->config.io == CCR_IO_MMAP);
	transfer_start(t, 1);
	add_odd(t);
	transfer_round_trip(t, 5);
	setenv("CRIU_CUDA_STREAMS", "33", 1);
	CHECK(cuda_parallel_config_from_env(&t->config, image_error, 512) == -EINVAL);
	SAYS(image_error, "CRIU_CUDA_STREAMS", "1-32");
}

int main(void)
{
	transfer_case("odd sizes", test_odd_sizes, 1, NULL);
	transfer_case("pread", test_pread, 1, NULL);
	transfer_case("direct", test_direct, 1, NULL);
	transfer_case("direct without io_uring", test_direct_without_uring, 1, NULL);
	transfer_case("mmap", test_mmap, 1, NULL);
	transfer_case("auto on tmpfs", test_auto_on_memory, 1, NULL);
	transfer_case("many small ranges", test_many_small, 1, NULL);
	transfer_case("several devices", test_devices, 3, NULL);
	transfer_case("chunk sizes", test_chunk_sizes, 1, NULL);
	transfer_case("all zero", test_all_zero, 1, NULL);
	transfer_case("pieces", test_pieces, 1, NULL);
	transfer_case("padding", test_padding, 1, NULL);
	transfer_case("foreign order", test_foreign_order, 1, NULL);
	transfer_case("host buffer", test_host_buffer, 1, NULL);
	transfer_case("callbacks", test_callbacks, 1, NULL);
	transfer_case("jobs at once", test_jobs_at_once, 2, NULL);
	transfer_case("configuration of a job", test_config_of_a_job, 1, NULL);
	transfer_case("configuration", test_config_from_env, 1, NULL);
	return 0;
}
