// SPDX-License-Identifier: MIT
/* Dumps against an earlier image: what is written, what is linked, and that nothing is lost. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/transfer/transfer_test.h"

#define EARLIER	   5
#define LATER	   6
#define NR_RANGES  8
#define RANGE	   (4 * MIB)
#define ZERO_BYTES (2 * RANGE) /* every fourth range is zero */
#define BYTES	   (NR_RANGES * RANGE)

static void prepare(struct transfer_test *t)
{
	transfer_start(t, 1);
	for (int i = 0; i < NR_RANGES; i++)
		transfer_add(t, 0, RANGE);
}

/* Another value of one byte in the first `nr` chunks of a range. */
static void change(struct transfer_test *t, uint32_t range, unsigned int nr, unsigned char value)
{
	for (unsigned int i = 0; i < nr; i++)
		CHECK(t->cuda.cuMemsetD8_v2(t->ranges[range].address + i * MIB + 12345, value, 1) ==
		      CUDA_SUCCESS);
	CHECK(t->cuda.cuCtxSynchronize() == CUDA_SUCCESS);
}

/* Dumps against an image, which may be damaged but has its manifest and the length of its stripes.
 */
static int dump(struct transfer_test *t, int pid, int earlier_pid)
{
	struct ccr_image_writer *writer = transfer_writer(t, pid);
	struct ccr_image *earlier;
	int ret;

	CHECK(!ccr_image_open(&earlier, t->dirfd, earlier_pid, image_error, 512));
	CHECK(!ccr_image_writer_link(writer, earlier, image_error, 512));
	t->job = (struct cuda_parallel_job){.earlier = earlier};
	ret = cuda_parallel_dump_memory(t->engine, writer, t->ranges, t->nr, &t->job);
	ccr_image_close(earlier);
	if (!ret)
		return ccr_image_writer_commit(writer, t->job.error, sizeof(t->job.error));
	ccr_image_writer_abort(writer);
	return ret;
}

static void remove_image(struct transfer_test *t, int pid)
{
	char name[CCR_IMAGE_NAME_MAX];

	ccr_image_manifest_name(name, pid);
	CHECK(!unlinkat(t->dirfd, name, 0));
	for (uint32_t i = 0; ccr_image_stripe_name(name, pid, i), !unlinkat(t->dirfd, name, 0);)
		i++;
}

static struct stat status_of(struct transfer_test *t, int pid, uint32_t stripe)
{
	char name[CCR_IMAGE_NAME_MAX];
	struct stat status = {0};

	ccr_image_stripe_name(name, pid, stripe);
	fstatat(t->dirfd, name, &status, AT_SYMLINK_NOFOLLOW);
	return status;
}

static uint32_t stripes_of(struct transfer_test *t, int pid)
{
	struct ccr_image *image;
	uint32_t nr;

	CHECK(!ccr_image_open(&image, t->dirfd, pid, image_error, 512));
	nr = image->nr_stripes;
	ccr_image_close(image);
	return nr;
}

static bool has_temporary(struct transfer_test *t)
{
	DIR *dir = opendir(image_directory_path());
	bool has = false;

	for (struct dirent *entry; (entry = readdir(dir));)
		has |= strstr(entry->d_name, ".tmp") != NULL;
	closedir(dir);
	return has;
}

/* The bytes on the devices are those of the image. */
static void check_content(struct transfer_test *t, int pid)
{
	unsigned char *before[NR_RANGES], *after = malloc(RANGE);

	for (int i = 0; i < NR_RANGES; i++) {
		before[i] = malloc(RANGE);
		CHECK(before[i] && after);
		CHECK(t->cuda.cuMemcpyDtoH_v2(before[i], t->ranges[i].address, RANGE) ==
		      CUDA_SUCCESS);
	}
	transfer_clear(t);
	CHECK(!transfer_load(t, pid));
	for (int i = 0; i < NR_RANGES; i++) {
		CHECK(t->cuda.cuMemcpyDtoH_v2(after, t->ranges[i].address, RANGE) == CUDA_SUCCESS);
		CHECK(!memcmp(before[i], after, RANGE));
		free(before[i]);
	}
	free(after);
}

static void test_unchanged(struct transfer_test *t)
{
	uint32_t nr;

	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	nr = stripes_of(t, EARLIER);
	CHECK(!dump(t, LATER, EARLIER));
	CHECK(t->job.reused_bytes == BYTES - ZERO_BYTES && t->job.stored_bytes == 0);
	CHECK(!*t->job.reuse_error && stripes_of(t, LATER) == nr && !has_temporary(t));
	for (uint32_t i = 0; i < nr; i++) {
		CHECK(status_of(t, LATER, i).st_ino == status_of(t, EARLIER, i).st_ino);
		CHECK(status_of(t, LATER, i).st_nlink == 2);
	}
	remove_image(t, EARLIER);
	CHECK(status_of(t, LATER, 0).st_nlink == 1);
	check_content(t, LATER);
}

static void changed(struct transfer_test *t, enum ccr_io io)
{
	t->config.io = io;
	t->config.streams = 3;
	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	change(t, 0, 1, 1); /* was zero */
	change(t, 1, 2, 2);
	CHECK(!dump(t, LATER, EARLIER));
	CHECK(t->job.stored_bytes == 3 * MIB && !*t->job.reuse_error);
	CHECK(t->job.reused_bytes == BYTES - ZERO_BYTES - 2 * MIB && !has_temporary(t));
	remove_image(t, EARLIER);
	check_content(t, LATER);
}

static void test_pread(struct transfer_test *t)
{
	changed(t, CCR_IO_PREAD);
}

static void test_direct(struct transfer_test *t)
{
	changed(t, CCR_IO_DIRECT);
}

static void test_mmap(struct transfer_test *t)
{
	changed(t, CCR_IO_MMAP);
}

/* Each image is deleted when the next one is there, and the last has a stripe of each. */
static void test_chain(struct transfer_test *t)
{
	t->config.streams = 1;
	prepare(t);
	CHECK(!transfer_dump(t, 5));
	for (int pid = 6; pid < 10; pid++) {
		change(t, 1, 1, pid);
		change(t, 2 + pid % 2, 1, pid);
		CHECK(!dump(t, pid, pid - 1));
		CHECK(t->job.stored_bytes == 2 * MIB);
		remove_image(t, pid - 1);
		check_content(t, pid);
	}
	/* Later ones have written all chunks of 6 and 7 again, whose stripes are gone. */
	CHECK(stripes_of(t, 9) == 3);
}

/* A stripe of which less than a quarter is the same is written again, and not kept. */
static void test_little_reused(struct transfer_test *t)
{
	t->config.streams = 1;
	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	for (uint32_t i = 2; i < NR_RANGES; i++)
		change(t, i, 4, 7);
	CHECK(!dump(t, LATER, EARLIER));
	CHECK(t->job.reused_bytes == 0 && t->job.stored_bytes == BYTES - RANGE);
	CHECK(t->job.total_bytes == BYTES && t->job.zero_bytes == RANGE);
	CHECK(stripes_of(t, LATER) == 1 && status_of(t, LATER, 0).st_nlink == 1);
	CHECK(!has_temporary(t));
	check_content(t, LATER);
}

/* Bytes that do not have the checksum in the manifest any more, at the start, and at a page. */
static void test_damaged(struct transfer_test *t)
{
	char name[CCR_IMAGE_NAME_MAX];

	t->config.streams = 1;
	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	ccr_image_stripe_name(name, EARLIER, 0);
	image_patch(name, 0, "damaged", 7);
	image_patch(name, 3 * MIB + 4096, "damaged", 7);
	CHECK(!dump(t, LATER, EARLIER));
	CHECK(t->job.stored_bytes == 2 * MIB);
	SAYS(t->job.reuse_error, name, "the bytes do not have their checksum");
	check_content(t, LATER);
	CHECK(!transfer_load(t, LATER));
}

/* The name is another file's by now: what was compared is what is linked. */
static void test_replaced(struct transfer_test *t)
{
	struct ccr_image_writer *writer;
	struct ccr_image *earlier;
	char name[CCR_IMAGE_NAME_MAX];

	t->config.streams = 1;
	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	CHECK(!ccr_image_open(&earlier, t->dirfd, EARLIER, image_error, 512));
	writer = transfer_writer(t, LATER);
	ccr_image_stripe_name(name, EARLIER, 0);
	CHECK(!renameat(t->dirfd, name, t->dirfd, "other"));
	CHECK(!symlinkat("/dev/null", t->dirfd, name));
	CHECK(!ccr_image_writer_link(writer, earlier, image_error, 512));
	t->job = (struct cuda_parallel_job){.earlier = earlier};
	CHECK(!cuda_parallel_dump_memory(t->engine, writer, t->ranges, t->nr, &t->job));
	CHECK(!ccr_image_writer_commit(writer, image_error, 512));
	ccr_image_close(earlier);
	CHECK(t->job.reused_bytes == BYTES - ZERO_BYTES);
	check_content(t, LATER);
}

static void test_other_chunks(struct transfer_test *t)
{
	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	transfer_stop(t);
	t->config.chunk_bytes = 8 * MIB;
	transfer_start(t, 1);
	CHECK(!dump(t, LATER, EARLIER));
	CHECK(!t->job.reused_bytes && t->job.stored_bytes == BYTES - ZERO_BYTES);
	SAYS(t->job.reuse_error, "cuda-5.img", "1 MiB, those of this dump 8 MiB");
	CHECK(!has_temporary(t));
	check_content(t, LATER);
}

/* The new image takes the place of the earlier one, whose stripes it needs. */
static void test_same_directory(struct transfer_test *t)
{
	t->config.streams = 1;
	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	CHECK(!dump(t, EARLIER, EARLIER));
	CHECK(t->job.stored_bytes == 0 && stripes_of(t, EARLIER) == 1 && !has_temporary(t));
	check_content(t, EARLIER);
	change(t, 1, 1, 3);
	CHECK(!dump(t, EARLIER, EARLIER));
	CHECK(t->job.stored_bytes == MIB && stripes_of(t, EARLIER) == 2 && !has_temporary(t));
	check_content(t, EARLIER);
}

/* A dump that fails leaves nothing of its own, and the earlier image. */
static void test_aborted(struct transfer_test *t)
{
	struct ccr_image_writer *writer;
	struct ccr_image *earlier;
	int nr_files;

	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	nr_files = image_count_files();
	CHECK(!ccr_image_open(&earlier, t->dirfd, EARLIER, image_error, 512));
	writer = transfer_writer(t, LATER);
	CHECK(!ccr_image_writer_link(writer, earlier, image_error, 512));
	CHECK(has_temporary(t));
	t->job = (struct cuda_parallel_job){.earlier = earlier};
	cuda_parallel_cancel(&t->job);
	CHECK(cuda_parallel_dump_memory(t->engine, writer, t->ranges, t->nr, &t->job) ==
	      -ECANCELED);
	ccr_image_writer_abort(writer);
	ccr_image_close(earlier);
	CHECK(image_count_files() == nr_files);
	check_content(t, EARLIER);
}

/* Nothing is linked, and the writer can be used as before. */
static void refuse_link(struct transfer_test *t, int ret, const char *reason)
{
	struct ccr_image_writer *writer = transfer_writer(t, LATER);
	struct ccr_image *earlier;
	char error[256];

	CHECK(!ccr_image_open(&earlier, t->dirfd, EARLIER, image_error, 512));
	CHECK(ccr_image_writer_link(writer, earlier, error, sizeof(error)) == ret);
	SAYS(error, "cuda-5-", reason);
	CHECK(!has_temporary(t));
	ccr_image_close(earlier);
	t->job = (struct cuda_parallel_job){0};
	CHECK(!cuda_parallel_dump_memory(t->engine, writer, t->ranges, t->nr, &t->job));
	CHECK(!ccr_image_writer_commit(writer, image_error, 512));
	check_content(t, LATER);
}

static void test_writable_by_others(struct transfer_test *t)
{
	t->config.streams = 1;
	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	CHECK(!fchmodat(t->dirfd, "cuda-5-0.img", 0660, 0));
	refuse_link(t, -EPERM, "other users may write it");
}

static void test_of_another_user(struct transfer_test *t)
{
	if (geteuid())
		return;
	t->config.streams = 1;
	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	CHECK(!fchownat(t->dirfd, "cuda-5-0.img", 12345, 12345, 0));
	refuse_link(t, -EPERM, "belongs to another user");
}

static void test_other_file_system(struct transfer_test *t)
{
	char path[] = "/dev/shm/ccr-transfer-XXXXXX";
	const int here = t->dirfd;
	struct ccr_image_writer *writer;
	struct ccr_image *earlier;
	char error[256];

	prepare(t);
	CHECK(!transfer_dump(t, EARLIER));
	CHECK(!ccr_image_open(&earlier, t->dirfd, EARLIER, image_error, 512));
	CHECK(mkdtemp(path));
	t->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(t->dirfd >= 0);
	writer = transfer_writer(t, LATER);
	CHECK(ccr_image_writer_link(writer, earlier, error, sizeof(error)) == -EXDEV);
	SAYS(error, "cuda-5-0.img", "another file system");
	ccr_image_writer_abort(writer);
	ccr_image_close(earlier);
	close(t->dirfd);
	t->dirfd = here;
	CHECK(!rmdir(path));
}

int main(void)
{
	transfer_case("unchanged", test_unchanged, 1, NULL);
	transfer_case("pread", test_pread, 1, NULL);
	transfer_case("direct", test_direct, 1, NULL);
	transfer_case("mmap", test_mmap, 1, NULL);
	transfer_case("chain", test_chain, 1, NULL);
	transfer_case("little reused", test_little_reused, 1, NULL);
	transfer_case("damaged", test_damaged, 1, NULL);
	transfer_case("replaced", test_replaced, 1, NULL);
	transfer_case("other chunks", test_other_chunks, 1, NULL);
	transfer_case("same directory", test_same_directory, 1, NULL);
	transfer_case("aborted", test_aborted, 1, NULL);
	transfer_case("writable by others", test_writable_by_others, 1, NULL);
	transfer_case("of another user", test_of_another_user, 1, NULL);
	transfer_case("other file system", test_other_file_system, 1, NULL);
	return 0;
}
