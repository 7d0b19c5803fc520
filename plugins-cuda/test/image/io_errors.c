// SPDX-License-Identifier: MIT
/*
 * Every call that can report that bytes were not stored fails once: the commit
 * fails, its message names the file, and no file of the new image is left. The
 * linker replaces the calls by those here.
 */
#include <errno.h>
#include <unistd.h>

#include "test/image/image_test.h"

int __real_close(int fd);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t length);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_close(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t length);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);

/* The call that fails, and how many calls of it come before. */
static const char *failing = "";
static int before;

static bool fails(const char *call)
{
	if (strcmp(call, failing) || before--)
		return false;
	failing = "";
	errno = ENOSPC;
	return true;
}

int __wrap_close(int fd)
{
	/* The kernel closes the descriptor even if it reports an error. */
	const int ret = __real_close(fd);

	return fails("close") ? -1 : ret;
}

int __wrap_fsync(int fd)
{
	return fails("fsync") ? -1 : __real_fsync(fd);
}

int __wrap_ftruncate(int fd, off_t length)
{
	return fails("ftruncate") ? -1 : __real_ftruncate(fd, length);
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return fails("renameat") ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

static int write_image(int dirfd)
{
	const struct ccr_image_options options = {
		.nr_writers = 3, .chunk_size = 64 * KIB, .sync = true};
	const struct ccr_image_device device = {.uuid = "0123456789abcde", .name = "test device"};
	const struct ccr_image_allocation allocation = {.size = 192 * KIB, .requested = 192 * KIB};
	static unsigned char data[64 * KIB];
	struct ccr_image_writer *writer;

	image_pattern(data, sizeof(data), 1);
	CHECK(!ccr_image_writer_begin(&writer, dirfd, 7, &options, image_error,
				      sizeof(image_error)));
	CHECK(!ccr_image_writer_add_device(writer, &device));
	CHECK(!ccr_image_writer_add_allocation(writer, &allocation));
	for (uint32_t i = 0; i < 3; i++)
		CHECK(!ccr_image_writer_append(writer, i, 0, i * sizeof(data), data, sizeof(data),
					       image_error, sizeof(image_error)));
	image_error[0] = '\0';
	return ccr_image_writer_commit(writer, image_error, sizeof(image_error));
}

/* Lets each of the first `nr` calls fail. The next call is not needed for a commit. */
static void test_call(int dirfd, const char *call, int nr)
{
	for (int i = 0; i < nr; i++) {
		failing = call;
		before = i;
		CHECK(write_image(dirfd) == -ENOSPC);
		CHECK(!*failing);
		SAYS(image_error, "No space left on device", ": ");
		CHECK(image_count_files() == 0);
	}
	CHECK(!write_image(dirfd));
	CHECK(image_count_files() == 4);
	image_remove_files();
}

int main(void)
{
	const int dirfd = image_directory();

	test_call(dirfd, "ftruncate", 3);
	test_call(dirfd, "fsync", 6); /* 3 stripes, the manifest, the directory twice */
	test_call(dirfd, "close", 4); /* 3 stripes, the manifest */
	test_call(dirfd, "renameat", 4);
	close(dirfd);
	return 0;
}
