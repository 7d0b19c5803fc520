// SPDX-License-Identifier: MIT
/*
 * Damaged images are refused with a message that names the file and the field,
 * and never crash the reader.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/checksum/checksum.h"
#include "image/format/format.h"
#include "test/image/image_test.h"
#include "image/write/write.h"

#define NR 4

static const uint64_t sizes[NR] = {64 * KIB, 200 * KIB, 4 * KIB, 64 * KIB + 1};
static unsigned char *manifest;
static size_t manifest_size;

static void read_manifest(int dirfd)
{
	const int fd = openat(dirfd, "cuda-7.img", O_RDONLY | O_CLOEXEC);
	struct stat status;

	CHECK(fd >= 0 && !fstat(fd, &status));
	manifest_size = status.st_size;
	manifest = malloc(manifest_size);
	CHECK(manifest && read(fd, manifest, manifest_size) == (ssize_t)manifest_size);
	close(fd);
}

static int parse(const void *data, size_t size)
{
	struct ccr_image *image;
	int ret;

	image_error[0] = '\0';
	ret = ccr_image_parse(&image, data, size, "cuda-7.img", image_error, sizeof(image_error));
	if (!ret)
		ccr_image_close(image);
	else
		SAYS(image_error, "cuda-7.img: ", "");
	return ret;
}

static void test_every_flipped_bit_and_length(void)
{
	CHECK(!parse(manifest, manifest_size));
	for (size_t at = 0; at < manifest_size; at++)
		for (int bit = 0; bit < 8; bit++) {
			manifest[at] ^= 1 << bit;
			CHECK(parse(manifest, manifest_size));
			manifest[at] ^= 1 << bit;
		}
	for (size_t size = 0; size < manifest_size; size++) {
		/* An allocation of the exact size, so that a sanitizer detects a read beyond it. */
		void *part = malloc(size ? size : 1);

		memcpy(part, manifest, size);
		CHECK(parse(part, size));
		free(part);
	}
}

static void seal(unsigned char *data, size_t size)
{
	struct ccr_image_head head;

	memcpy(&head, data, sizeof(head));
	head.bytes = htole64(size - sizeof(head));
	head.crc = htole32(ccr_crc32(data + sizeof(head), size - sizeof(head)));
	memcpy(data, &head, sizeof(head));
}

/* The same with a correct checksum, so that the checks of the fields must detect the damage. */
static void test_flips_behind_the_checksum(void)
{
	unsigned char *copy = malloc(manifest_size);
	unsigned int refused = 0;

	CHECK(copy);
	for (size_t at = sizeof(struct ccr_image_head); at < manifest_size; at++)
		for (unsigned int value = 0; value < 256; value++) {
			memcpy(copy, manifest, manifest_size);
			copy[at] = value;
			seal(copy, manifest_size);
			refused += parse(copy, manifest_size) != 0;
		}
	for (size_t size = sizeof(struct ccr_image_head); size < manifest_size; size++) {
		memcpy(copy, manifest, manifest_size);
		seal(copy, size);
		refused += parse(copy, size) != 0;
	}
	CHECK(refused > manifest_size * 100);
	free(copy);
}

static void test_head(void)
{
	unsigned char copy[64];

	CHECK(parse("hello, world", 12) == -EINVAL);
	SAYS(image_error, "magic", "not a GPU image");
	memcpy(copy, manifest, sizeof(copy));
	CHECK(parse(copy, 10) == -ENODATA);
	SAYS(image_error, "truncated", "10 bytes");
	copy[8] = 9;
	CHECK(parse(copy, sizeof(copy)) == -EPROTONOSUPPORT);
	SAYS(image_error, "version is 9", "reads 1");
	CHECK(parse(manifest, manifest_size - 1) == -ENODATA);
	SAYS(image_error, "length", "its head says");
	manifest[manifest_size - 1] ^= 1;
	CHECK(parse(manifest, manifest_size) == -EBADMSG);
	SAYS(image_error, "crc", "damaged");
	manifest[manifest_size - 1] ^= 1;
}

/* Packs a changed image and returns the reader's result. */
static int repack(struct ccr_image *image)
{
	void *data;
	size_t size;
	int ret;

	CHECK(!ccr__image_pack(image, &data, &size));
	ret = parse(data, size);
	free(data);
	return ret;
}

#define REFUSED(change, undo, word)                      \
	do {                                             \
		change;                                  \
		CHECK(repack(image) == -EINVAL);         \
		SAYS(image_error, "cuda-7.img: ", word); \
		undo;                                    \
		CHECK(!repack(image));                   \
	} while (0)

#define WITH(field, value, word)                                    \
	do {                                                        \
		const typeof(field) before = (field);               \
		REFUSED((field) = (value), (field) = before, word); \
	} while (0)

static void test_fields(struct ccr_image *image)
{
	struct ccr_image_chunk *chunk = &image->chunks[2]; /* the second chunk of allocation 1 */

	CHECK(chunk->allocation == 1 && chunk->position == 64 * KIB && !chunk->is_zero);
	WITH(image->allocations[1].requested, 1 * MIB, "allocations[1].requested");
	image->allocations[1].requested = 0; /* otherwise it hides the next error */
	WITH(image->pid, 0, "pid");
	WITH(image->chunk_size, 0, "chunk_size");
	WITH(image->chunk_size, 64 * KIB + 1, "chunk_size");
	WITH(image->chunk_size, 32 * KIB, "chunks[0].length");
	WITH(image->allocations[1].size, 0, "allocations[1].size");
	WITH(image->allocations[1].size, CCR_IMAGE_MAX_BYTES + 1, "allocations[1].size");
	WITH(image->allocations[1].size, 196 * KIB, "chunks[4].length");
	WITH(image->allocations[1].size, 204 * KIB, "chunks[5].allocation");
	WITH(image->allocations[3].size, 72 * KIB, "allocation 3 is covered");
	WITH(image->allocations[1].address, UINT64_MAX - 4096, "allocations[1].address");
	WITH(image->allocations[1].device, 1, "allocations[1].device");
	WITH(chunk->allocation, 9, "chunks[2].allocation");
	WITH(chunk->allocation, 2, "chunks[2].allocation");
	WITH(chunk->position, 0, "an overlap");
	WITH(chunk->position, 128 * KIB, "a gap");
	WITH(chunk->length, 0, "chunks[2].length");
	WITH(chunk->length, UINT64_MAX, "chunks[2].length");
	WITH(chunk->stripe, 77, "chunks[2].stripe");
	WITH(chunk->offset, 1 * MIB, "chunks[2].offset");
	WITH(chunk->offset, 512, "chunks[2].offset");
	WITH(chunk->offset, UINT64_MAX - 4095, "chunks[2].offset");
	WITH(image->chunks[0].offset, 4096, "chunks[0].zero");
	WITH(image->stripes[0].size, 4097, "stripe_sizes[0]");
	WITH(image->stripes[0].size, CCR_IMAGE_MAX_BYTES * 2, "stripe_sizes[0]");
	WITH(image->nr_chunks, image->nr_chunks - 1, "allocation 3 is covered");
	WITH(image->nr_allocations, NR - 1, "chunks[");
	WITH(image->nr_devices, 0, "device");
}

static void test_shared_place(struct ccr_image *image)
{
	struct ccr_image_chunk *one = &image->chunks[1], *two = &image->chunks[2];
	const struct ccr_image_chunk before = *two;

	two->stripe = one->stripe;
	two->offset = one->offset;
	CHECK(repack(image) == -EINVAL);
	SAYS(image_error, "in stripe", "an overlap with chunk");
	*two = before;
}

static int open_again(int dirfd)
{
	struct ccr_image_verify_result result;
	struct ccr_image *image;
	int ret;

	image_error[0] = '\0';
	ret = ccr_image_open(&image, dirfd, 7, image_error, sizeof(image_error));
	if (ret)
		return ret;
	ret = ccr_image_verify(image, 3, &result, image_error, sizeof(image_error));
	ccr_image_close(image);
	return ret;
}

/* Chunk 2 is damaged: all chunks find it, and one chunk in so many tries finds it and does not. */
static void test_sample(const struct ccr_image *image)
{
	struct ccr_image_verify_result result;
	int found = 0;

	CHECK(ccr_image_verify_sample(image, UINT64_MAX, 3, &result, image_error,
				      sizeof(image_error)) == -EBADMSG);
	for (int i = 0; i < 200; i++) {
		found += ccr_image_verify_sample(image, 1, 3, &result, image_error,
						 sizeof(image_error)) == -EBADMSG;
		CHECK(result.chunks == 1 && !result.zero_chunks);
	}
	CHECK(found > 0 && found < 200);
}

static void test_stripes(int dirfd)
{
	struct ccr_image *image;
	unsigned char byte;
	uint64_t place;
	int fd;

	CHECK(!open_again(dirfd));
	CHECK(!ccr_image_open(&image, dirfd, 7, image_error, sizeof(image_error)));
	CHECK(image->nr_stripes == 3 && image->chunks[2].stripe == 2);
	place = image->chunks[2].offset + 12345;
	CHECK(pread(image->stripes[2].fd, &byte, 1, place) == 1);
	byte ^= 0x10;
	image_patch("cuda-7-2.img", place, &byte, 1);
	CHECK(open_again(dirfd) == -EBADMSG);
	SAYS(image_error, "cuda-7-2.img: chunk 2 at offset", "xxh3");
	test_sample(image);
	byte ^= 0x10;
	image_patch("cuda-7-2.img", place, &byte, 1);
	CHECK(!open_again(dirfd));

	fd = openat(dirfd, "cuda-7-1.img", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && !ftruncate(fd, image->stripes[1].size - 4096));
	CHECK(open_again(dirfd) == -ENODATA);
	SAYS(image_error, "cuda-7-1.img: length", "stripe_sizes[1]");
	CHECK(!ftruncate(fd, image->stripes[1].size + 4096));
	CHECK(open_again(dirfd) == -EINVAL);
	CHECK(!ftruncate(fd, image->stripes[1].size));
	close(fd);
	ccr_image_close(image);

	CHECK(!renameat(dirfd, "cuda-7-0.img", dirfd, "aside"));
	CHECK(open_again(dirfd) == -ENODATA);
	SAYS(image_error, "cuda-7-0.img: missing", "cuda-7.img");
	CHECK(!mkfifoat(dirfd, "cuda-7-0.img", 0600));
	CHECK(open_again(dirfd) == -EINVAL);
	SAYS(image_error, "cuda-7-0.img", "regular");
	CHECK(!unlinkat(dirfd, "cuda-7-0.img", 0));
	CHECK(!symlinkat("aside", dirfd, "cuda-7-0.img"));
	CHECK(open_again(dirfd) == -ELOOP);
	CHECK(!unlinkat(dirfd, "cuda-7.img", 0));
	CHECK(open_again(dirfd) == -ENOENT);
	SAYS(image_error, "cuda-7.img", "No such file");
}

/* The image of another process has this name. */
static void test_wrong_pid(int dirfd)
{
	CHECK(!renameat(dirfd, "cuda-8.img", dirfd, "cuda-7.img"));
	CHECK(open_again(dirfd) == -EINVAL);
	SAYS(image_error, "cuda-7.img: pid is 8", "");
}

int main(void)
{
	const int dirfd = image_directory();
	struct ccr_image *image;

	image_write(dirfd, 8, sizes, NR, 3);
	image_write(dirfd, 7, sizes, NR, 3);
	read_manifest(dirfd);
	test_every_flipped_bit_and_length();
	test_head();
	CHECK(!ccr_image_parse(&image, manifest, manifest_size, "cuda-7.img", image_error, 512));
	test_fields(image);
	test_shared_place(image);
	ccr_image_close(image);
	test_flips_behind_the_checksum();
	test_stripes(dirfd);
	test_wrong_pid(dirfd);
	free(manifest);
	close(dirfd);
	return 0;
}
