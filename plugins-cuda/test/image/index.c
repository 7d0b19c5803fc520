// SPDX-License-Identifier: MIT
/*
 * The index of a checkpoint: what a restore takes from a directory in which
 * several dumps left files, what it says about missing ones, and what a failed
 * dump removes.
 */
#include "image/index/index.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "test/image/image_test.h"

static const uint8_t one[CCR_CHECKPOINT_ID_SIZE] = "checkpoint one!";
static const uint8_t two[CCR_CHECKPOINT_ID_SIZE] = "checkpoint two!";
static const uint8_t none[CCR_CHECKPOINT_ID_SIZE];
static char strays[256];

static void note_stray(const char *name)
{
	snprintf(strays + strlen(strays), sizeof(strays) - strlen(strays), "%s ", name);
}

static bool exists(int dirfd, const char *name)
{
	return !faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

static void touch(int dirfd, const char *name)
{
	const int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	close(fd);
}

static void write_gpu(int dirfd, int pid, const uint8_t *id)
{
	struct ccr_image_options options = {.nr_writers = 1, .chunk_size = 4 * KIB};
	const struct ccr_image_device device = {.uuid = "0123456789abcde"};
	const struct ccr_image_allocation allocation = {.size = 4 * KIB};
	unsigned char data[4 * KIB];
	struct ccr_image_writer *writer;

	memcpy(options.checkpoint, id, sizeof(options.checkpoint));
	image_pattern(data, sizeof(data), pid);
	CHECK(!ccr_image_writer_begin(&writer, dirfd, pid, &options, image_error, 512));
	CHECK(!ccr_image_writer_add_device(writer, &device));
	CHECK(!ccr_image_writer_add_allocation(writer, &allocation));
	CHECK(!ccr_image_writer_append(writer, 0, 0, 0, data, sizeof(data), image_error, 512));
	CHECK(!ccr_image_writer_commit(writer, image_error, 512));
}

/* A page file without mappings, which is all that a check of the index looks at. */
static void write_host(int dirfd, int pid, const uint8_t *id)
{
	uint64_t xxh3 = 0;
	struct ccr_pages pages = {
		.pid = pid, .size = 4096, .chunk_size = 4096, .nr_chunks = 1, .xxh3 = &xxh3};

	memcpy(pages.checkpoint, id, sizeof(pages.checkpoint));
	pages.id[0] = pid;
	ccr_pages_name(&pages);
	touch(dirfd, pages.file);
	CHECK(!ccr_pages_write(&pages, dirfd, image_error, sizeof(image_error)));
}

static void write_index(int dirfd, const uint8_t *id, const struct ccr_index_member *members,
			size_t nr)
{
	struct ccr_index index = {.nr_members = 0};

	memcpy(index.id, id, sizeof(index.id));
	for (size_t i = 0; i < nr; i++)
		CHECK(!ccr_index_add(&index, &members[i]));
	CHECK(!ccr_index_write(&index, dirfd, true, image_error, sizeof(image_error)));
	free(index.members);
}

static int check(int dirfd)
{
	struct ccr_index *index;
	int ret;

	strays[0] = image_error[0] = '\0';
	ret = ccr_index_check(&index, dirfd, note_stray, image_error, sizeof(image_error));
	ccr_index_close(index);
	return ret;
}

/* Processes 7 and 9 of checkpoint one; GPU image and host memory of 8 are of checkpoint two. */
static void write_both(int dirfd)
{
	const struct ccr_index_member members[] = {{.pid = 9, .has_host = true},
						   {.pid = 7, .has_gpu = true, .has_host = true}};

	image_remove_files();
	write_gpu(dirfd, 7, one);
	write_host(dirfd, 7, one);
	write_host(dirfd, 9, one);
	write_gpu(dirfd, 8, two);
	write_host(dirfd, 8, two);
	write_index(dirfd, one, members, 2);
}

static void test_round_trip(int dirfd)
{
	struct ccr_index *index;

	write_both(dirfd);
	CHECK(!ccr_index_open(&index, dirfd, image_error, sizeof(image_error)));
	CHECK(!memcmp(index->id, one, sizeof(one)) && index->nr_members == 2);
	CHECK(index->members[0].pid == 7 && index->members[1].pid == 9);
	CHECK(ccr_index_find(index, 7)->has_gpu && !ccr_index_find(index, 9)->has_gpu);
	CHECK(ccr_index_find(index, 9)->has_host && !ccr_index_find(index, 8));
	ccr_index_close(index);
	CHECK(ccr_index_is_needed(dirfd));
	image_remove_files();
	CHECK(!ccr_index_is_needed(dirfd));
	CHECK(ccr_index_open(&index, dirfd, image_error, sizeof(image_error)) == -ENOENT);
}

static void test_device_files(int dirfd)
{
	struct ccr_device_file control = {.id = 0x23, .flags = O_RDWR, .path = "/dev/nvidiactl"};
	struct ccr_device_file gpu = {.id = 7,
				      .flags = O_RDONLY | O_NONBLOCK,
				      .position = 1ull << 40,
				      .has_gpu = true,
				      .gpu = "0123456789abcde",
				      .path = "/dev/nvidia3"};
	const struct ccr_device_file *found;
	struct ccr_index index = {.nr_members = 0}, *read;

	image_remove_files();
	memcpy(index.id, one, sizeof(index.id));
	CHECK(!ccr_index_add_device_file(&index, &control));
	CHECK(!ccr_index_add_device_file(&index, &gpu));
	CHECK(!ccr_index_write(&index, dirfd, true, image_error, sizeof(image_error)));
	CHECK(!check(dirfd));
	CHECK(!ccr_index_open(&read, dirfd, image_error, sizeof(image_error)));
	CHECK(read->nr_device_files == 2 && !read->nr_members);
	found = ccr_index_find_device_file(read, 0x23);
	CHECK(found && !strcmp(found->path, control.path) && found->flags == control.flags);
	CHECK(!found->position && !found->has_gpu);
	found = ccr_index_find_device_file(read, 7);
	CHECK(found && !strcmp(found->path, gpu.path) && found->flags == gpu.flags);
	CHECK(found->position == gpu.position && found->has_gpu);
	CHECK(!memcmp(found->gpu, gpu.gpu, sizeof(gpu.gpu)));
	CHECK(!ccr_index_find_device_file(read, 8));
	ccr_index_close(read);
	ccr_index_remove_checkpoint(dirfd, one);
	CHECK(image_count_files() == 0);

	index.device_files[1].path[0] = 'd'; /* dev/nvidia3 */
	CHECK(!ccr_index_write(&index, dirfd, true, image_error, sizeof(image_error)));
	CHECK(ccr_index_open(&read, dirfd, image_error, sizeof(image_error)) == -EINVAL);
	SAYS(image_error, "cuda.img: ", "the path of device file 7 is not absolute");
	for (size_t i = 0; i < index.nr_device_files; i++)
		free(index.device_files[i].path);
	free(index.device_files);
}

static void test_strays_are_ignored(int dirfd)
{
	write_both(dirfd);
	CHECK(!check(dirfd));
	SAYS(strays, "cuda-8.img ", "cuda-host-8.img ");
	CHECK(!strstr(strays, "7") && !strstr(strays, "9"));
}

static void test_missing_files(int dirfd)
{
	static const char *const files[] = {"cuda-7.img", "cuda-host-7.img", "cuda-host-9.img"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		write_both(dirfd);
		CHECK(!unlinkat(dirfd, files[i], 0));
		CHECK(check(dirfd) == -ENODATA);
		SAYS(image_error, files[i], ": missing; cuda.img lists it");
	}
	write_both(dirfd);
	CHECK(!unlinkat(dirfd, "cuda-7-0.img", 0));
	CHECK(!check(dirfd)); /* the pool looks for stripes when it loads them */
	write_both(dirfd);
	CHECK(!unlinkat(dirfd, "cuda.img", 0));
	CHECK(check(dirfd) == -ENODATA);
	SAYS(image_error, "cuda.img: missing, and cuda-", "did not complete");
}

static void test_files_of_another_checkpoint(int dirfd)
{
	write_both(dirfd);
	write_gpu(dirfd, 7, two);
	CHECK(check(dirfd) == -EINVAL);
	SAYS(image_error, "cuda-7.img: belongs to another checkpoint", "make the checkpoint again");
	write_both(dirfd);
	write_host(dirfd, 9, two);
	CHECK(check(dirfd) == -EINVAL);
	SAYS(image_error, "cuda-host-9.img: belongs to another checkpoint", "cuda.img");
}

/* As 0.2.0 left host memory, and as tools leave GPU images. */
static void test_without_ids(int dirfd)
{
	image_remove_files();
	write_gpu(dirfd, 7, none);
	write_host(dirfd, 7, none);
	CHECK(!check(dirfd));
	CHECK(!*strays);
}

static void test_damaged_index(int dirfd)
{
	write_both(dirfd);
	image_patch("cuda.img", 30, "x", 1);
	CHECK(check(dirfd) == -EBADMSG);
	SAYS(image_error, "cuda.img: crc", "damaged");
}

static void test_removal(int dirfd)
{
	write_both(dirfd);
	touch(dirfd, "cuda-7.img.tmp");
	touch(dirfd, "cuda-12-3.img.tmp");
	touch(dirfd, "cuda-12-0.img");
	touch(dirfd, "cuda-pages-12-0123456789abcdef.img");
	touch(dirfd, "cuda-notes.txt");
	touch(dirfd, "core-7.img");
	ccr_index_remove_checkpoint(dirfd, one);
	/* Two manifests, a stripe and a page file of checkpoint two, and what is not ours. */
	CHECK(image_count_files() == 6);
	CHECK(exists(dirfd, "cuda-8.img") && exists(dirfd, "cuda-8-0.img"));
	CHECK(exists(dirfd, "cuda-host-8.img"));
	CHECK(exists(dirfd, "cuda-pages-8-0800000000000000.img"));
	CHECK(exists(dirfd, "cuda-notes.txt") && exists(dirfd, "core-7.img"));
	ccr_index_remove_checkpoint(dirfd, one);
	CHECK(image_count_files() == 6);
}

/* The index of an earlier, complete checkpoint stays when a dump fails before it writes one. */
static void test_removal_keeps_the_other_index(int dirfd)
{
	write_both(dirfd);
	ccr_index_remove_checkpoint(dirfd, two);
	CHECK(!check(dirfd));
	CHECK(!*strays);
}

int main(void)
{
	const int dirfd = image_directory();

	test_round_trip(dirfd);
	test_device_files(dirfd);
	test_strays_are_ignored(dirfd);
	test_missing_files(dirfd);
	test_files_of_another_checkpoint(dirfd);
	test_without_ids(dirfd);
	test_damaged_index(dirfd);
	test_removal(dirfd);
	test_removal_keeps_the_other_index(dirfd);
	close(dirfd);
	return 0;
}
