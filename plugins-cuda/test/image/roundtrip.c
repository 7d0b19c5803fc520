// SPDX-License-Identifier: MIT
/* Writing and reading GPU images: content, fields, names, replacing an older image, abort. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/checksum/checksum.h"
#include "test/image/image_test.h"

#define NR 6

static const uint64_t sizes[NR] = {64 * KIB, 200 * KIB, 4 * KIB, 64 * KIB + 1, 130 * KIB, 1};

static struct ccr_image *open_image(int dirfd, int pid)
{
	struct ccr_image *image;

	CHECK(!ccr_image_open(&image, dirfd, pid, image_error, sizeof(image_error)));
	return image;
}

static void check_content(const struct ccr_image *image)
{
	unsigned char *expected = malloc(200 * KIB), *found = malloc(200 * KIB);

	CHECK(expected && found);
	for (size_t i = 0; i < image->nr_chunks; i++) {
		const struct ccr_image_chunk *chunk = &image->chunks[i];
		const uint64_t size = image->allocations[chunk->allocation].size;

		image_expected(expected, size, chunk->allocation);
		if (chunk->is_zero) {
			CHECK(ccr_is_zero(expected + chunk->position, chunk->length));
			continue;
		}
		CHECK(pread(image->stripes[chunk->stripe].fd, found, chunk->length,
			    chunk->offset) == (ssize_t)chunk->length);
		CHECK(!memcmp(found, expected + chunk->position, chunk->length));
		CHECK(ccr_xxh3(found, chunk->length) == chunk->xxh3);
	}
	free(expected);
	free(found);
}

static void test_fields(int dirfd)
{
	struct ccr_image *image;
	struct stat status;

	image_write(dirfd, 41, sizes, NR, 3);
	image = open_image(dirfd, 41);
	CHECK(image->pid == 41 && image->nr_allocations == NR && image->nr_devices == 1);
	CHECK(image->driver_version == 13000 && image->chunk_size == 64 * KIB);
	CHECK(!strcmp(image->tool, CCR_VERSION) && image->created_ns > 1700000000000000000ull);
	CHECK(!ccr_is_zero(image->id, sizeof(image->id)));
	CHECK(!strcmp(image->devices[0].name, "test device"));
	CHECK(!memcmp(image->devices[0].uuid, "0123456789abcde", 16));
	CHECK(image->allocations[3].id == 103 && image->allocations[3].size == 64 * KIB + 1);
	CHECK(image->allocations[3].flags == CCR_IMAGE_ALLOCATION_OWN_VMM);
	CHECK(image->chunks[0].is_zero && !image->chunks[1].is_zero);
	check_content(image);
	CHECK(image_count_files() == 1 + (int)image->nr_stripes);
	for (uint32_t i = 0; i < image->nr_stripes; i++) {
		CHECK(!fstat(image->stripes[i].fd, &status));
		CHECK((status.st_mode & 07777) == 0600);
	}
	CHECK(!fstatat(dirfd, "cuda-41.img", &status, 0) && (status.st_mode & 07777) == 0600);
	ccr_image_close(image);
}

/* Imports have no bytes; what cannot be one is refused when the manifest is written. */
static void test_imports(int dirfd)
{
	const struct ccr_image_options options = {.nr_writers = 1, .chunk_size = 4096};
	const struct ccr_image_import imports[] = {
		{.id = 7, .size = 2 << 20, .allocation = 3, .exporter = 44},
		{.id = 9, .size = 0, .allocation = 1ull << 40, .exporter = 4000000},
	};
	const struct ccr_image_import wrong = {.id = 8, .allocation = 3};
	struct ccr_image_writer *writer;
	struct ccr_image *image;

	CHECK(!ccr_image_writer_begin(&writer, dirfd, 45, &options, image_error,
				      sizeof(image_error)));
	for (int i = 0; i < 2; i++)
		CHECK(!ccr_image_writer_add_import(writer, &imports[i]));
	CHECK(!ccr_image_writer_commit(writer, image_error, sizeof(image_error)));
	image = open_image(dirfd, 45);
	CHECK(image->nr_imports == 2 && !image->nr_allocations && !image->bytes);
	for (int i = 0; i < 2; i++) {
		CHECK(image->imports[i].id == imports[i].id);
		CHECK(image->imports[i].size == imports[i].size);
		CHECK(image->imports[i].allocation == imports[i].allocation);
		CHECK(image->imports[i].exporter == imports[i].exporter);
	}
	ccr_image_close(image);
	CHECK(!ccr_image_writer_begin(&writer, dirfd, 45, &options, image_error,
				      sizeof(image_error)));
	CHECK(!ccr_image_writer_add_import(writer, &wrong));
	CHECK(ccr_image_writer_commit(writer, image_error, sizeof(image_error)) == -EINVAL);
	CHECK(strstr(image_error, "imports[0].exporter is 0"));
}

/* The second image of the pid has fewer stripes; the third has none. */
static void test_replace(int dirfd)
{
	const uint64_t one = 64 * KIB;
	struct ccr_image *old, *image;

	image_write(dirfd, 42, sizes, NR, 5);
	old = open_image(dirfd, 42);
	CHECK(old->nr_stripes > 1);
	image_write(dirfd, 42, sizes, NR, 1);
	image = open_image(dirfd, 42);
	CHECK(image->nr_stripes == 1 && image_count_files() == 2);
	CHECK(memcmp(image->id, old->id, sizeof(old->id)));
	check_content(image);
	check_content(old); /* an open image can still be read */
	ccr_image_close(image);
	ccr_image_close(old);
	image_write(dirfd, 42, &one, 1, 4);
	image = open_image(dirfd, 42);
	CHECK(image->nr_stripes == 0 && image->nr_chunks == 1 && image->bytes == one);
	CHECK(image_count_files() == 1);
	ccr_image_close(image);
}

static void test_abort_and_leftovers(int dirfd)
{
	const struct ccr_image_options options = {
		.nr_writers = 2, .chunk_size = 4096, .sync = true};
	const struct ccr_image_allocation allocation = {.size = 8192};
	const struct ccr_image_device device = {.name = "d"};
	static unsigned char data[4096] = {1};
	struct ccr_image_writer *writer;
	struct ccr_image *image;

	for (int round = 0; round < 3; round++) {
		CHECK(!ccr_image_writer_begin(&writer, dirfd, 43, &options, image_error,
					      sizeof(image_error)));
		CHECK(!ccr_image_writer_add_device(writer, &device));
		CHECK(!ccr_image_writer_add_allocation(writer, &allocation));
		CHECK(!ccr_image_writer_append(writer, 0, 0, 0, data, 4096, image_error, 512));
		if (round == 0) { /* aborted */
			CHECK(image_count_files() == 1);
			ccr_image_writer_abort(writer);
			CHECK(image_count_files() == 0);
		} else if (round == 1) { /* committed too early, with half of an allocation */
			CHECK(ccr_image_writer_commit(writer, image_error, 512));
			SAYS(image_error, "cuda-43.img: chunks", "4096 of 8192");
			CHECK(image_count_files() == 0);
		} else {
			CHECK(!symlinkat("cuda-43-9.img", dirfd, "cuda-43-1.img.tmp"));
			CHECK(!ccr_image_writer_append(writer, 1, 0, 4096, data, 4096, image_error,
						       512));
			CHECK(!ccr_image_writer_commit(writer, image_error, 512));
		}
	}
	image = open_image(dirfd, 43);
	CHECK(image->nr_stripes == 2 && image_count_files() == 3);
	ccr_image_close(image);
}

static void test_refused_options(int dirfd)
{
	struct ccr_image_options options = {.nr_writers = 1, .chunk_size = 4096};
	struct ccr_image_writer *writer;

	CHECK(ccr_image_writer_begin(&writer, dirfd, 0, &options, image_error, 512) == -EINVAL);
	options.nr_writers = CCR_IMAGE_MAX_STRIPES + 1;
	CHECK(ccr_image_writer_begin(&writer, dirfd, 1, &options, image_error, 512) == -EINVAL);
	SAYS(image_error, "1025 writers", "1-1024");
	options.nr_writers = 1;
	options.chunk_size = 4097;
	CHECK(ccr_image_writer_begin(&writer, dirfd, 1, &options, image_error, 512) == -EINVAL);
	options.chunk_size = 4096;
	CHECK(ccr_image_writer_begin(&writer, -1, 1, &options, image_error, 512) == -EBADF);
}

static void test_names(void)
{
	CHECK(ccr_image_pid_of_name("cuda-12.img") == 12);
	CHECK(ccr_image_pid_of_name("cuda-12-3.img") == 0);
	CHECK(ccr_image_pid_of_name("cuda-12.img.tmp") == 0);
	CHECK(ccr_image_pid_of_name("cuda-012.img") == 0);
	CHECK(ccr_image_pid_of_name("cuda--1.img") == 0);
	CHECK(ccr_image_pid_of_name("cuda-99999999999.img") == 0);
	CHECK(ccr_image_pid_of_name("core-12.img") == 0);
}

int main(void)
{
	const int dirfd = image_directory();

	test_names();
	test_fields(dirfd);
	test_imports(dirfd);
	image_remove_files();
	test_replace(dirfd);
	image_remove_files();
	test_abort_and_leftovers(dirfd);
	test_refused_options(dirfd);
	return 0;
}
