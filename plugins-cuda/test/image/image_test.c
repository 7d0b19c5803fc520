// SPDX-License-Identifier: MIT
#include "test/image/image_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

char image_error[512];

static char path[64];
static pid_t owner;

static DIR *open_directory(void)
{
	DIR *dir = opendir(path);

	CHECK(dir);
	return dir;
}

int image_count_files(void)
{
	DIR *dir = open_directory();
	int nr = 0;

	for (struct dirent *entry; (entry = readdir(dir));)
		nr += entry->d_name[0] != '.';
	closedir(dir);
	return nr;
}

void image_remove_files(void)
{
	DIR *dir = open_directory();

	for (struct dirent *entry; (entry = readdir(dir));)
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

static void remove_directory(void)
{
	if (getpid() != owner)
		return;
	image_remove_files();
	rmdir(path);
}

int image_directory(void)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/ccr-image-XXXXXX");
	CHECK(mkdtemp(path));
	owner = getpid();
	atexit(remove_directory);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

const char *image_directory_path(void)
{
	return path;
}

void image_pattern(void *data, size_t size, uint64_t seed)
{
	unsigned char *bytes = data;

	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		const uint64_t word =
			(seed + 1) * 0x9e3779b97f4a7c15ull + i * 0xbf58476d1ce4e5b9ull;
		const size_t left = size - i;
		const uint64_t value = word | 1;

		memcpy(bytes + i, &value, left < sizeof(value) ? left : sizeof(value));
	}
}

void image_expected(void *data, size_t size, uint32_t allocation)
{
	if (allocation % 4 == 0)
		memset(data, 0, size);
	else
		image_pattern(data, size, allocation);
}

static void append_all(struct ccr_image_writer *writer, uint32_t allocation, uint64_t size,
		       uint32_t nr_writers)
{
	const uint64_t step = ccr_image_writer_chunk_size(writer);
	unsigned char *data = malloc(size);

	CHECK(data);
	image_expected(data, size, allocation);
	for (uint64_t at = 0; at < size; at += step) {
		const uint64_t length = size - at < step ? size - at : step;

		CHECK(!ccr_image_writer_append(writer, (at / step + allocation) % nr_writers,
					       allocation, at, data + at, length, image_error,
					       sizeof(image_error)));
	}
	free(data);
}

void image_write(int dirfd, int pid, const uint64_t *sizes, uint32_t nr, uint32_t nr_writers)
{
	image_write_chunks(dirfd, pid, sizes, nr, nr_writers, 64 * KIB);
}

void image_write_chunks(int dirfd, int pid, const uint64_t *sizes, uint32_t nr, uint32_t nr_writers,
			uint64_t chunk_size)
{
	const struct ccr_image_options options = {
		.nr_writers = nr_writers, .driver_version = 13000, .chunk_size = chunk_size};
	const struct ccr_image_device device = {.uuid = "0123456789abcde", .name = "test device"};
	struct ccr_image_writer *writer;

	CHECK(!ccr_image_writer_begin(&writer, dirfd, pid, &options, image_error,
				      sizeof(image_error)));
	CHECK(!ccr_image_writer_add_device(writer, &device));
	for (uint32_t i = 0; i < nr; i++) {
		const struct ccr_image_allocation allocation = {
			.id = 100 + i,
			.address = 0x7f0000000000 + i * 0x10000000ull,
			.size = sizes[i],
			.requested = sizes[i],
			.flags = i % 2 ? CCR_IMAGE_ALLOCATION_OWN_VMM : 0,
		};

		CHECK(!ccr_image_writer_add_allocation(writer, &allocation));
	}
	for (uint32_t i = 0; i < nr; i++)
		append_all(writer, i, sizes[i], nr_writers);
	CHECK(!ccr_image_writer_commit(writer, image_error, sizeof(image_error)));
}

void image_patch(const char *name, uint64_t offset, const void *data, size_t size)
{
	char file[128];
	int fd;

	snprintf(file, sizeof(file), "%s/%s", path, name);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && pwrite(fd, data, size, offset) == (ssize_t)size);
	close(fd);
}
