// SPDX-License-Identifier: MIT
/*
 * The limits of each field: the last accepted value and the first refused one.
 * Also leftovers of a killed writer.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "image.pb-c.h"
#include "image/check/check.h"
#include "image/checksum/checksum.h"
#include "image/format/format.h"
#include "image/write/write.h"
#include "test/image/image_test.h"

#define CHUNK 8192ull

/* Two allocations of one chunk each, which are adjacent in a stripe. */
struct sound {
	struct ccr_image_device devices[1];
	struct ccr_image_allocation allocations[2];
	struct ccr_image_chunk chunks[2];
	struct ccr_image_stripe stripes[2];
	struct ccr_image image;
};

static struct ccr_image *make_sound(struct sound *s)
{
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < 2; i++) {
		s->allocations[i] = (struct ccr_image_allocation){
			.id = i,
			.address = 0x10000000ull * (i + 1),
			.size = CHUNK,
			.requested = CHUNK,
		};
		s->chunks[i] = (struct ccr_image_chunk){
			.allocation = i,
			.length = CHUNK,
			.offset = i * CHUNK,
		};
		s->stripes[i].size = 2 * CHUNK;
	}
	s->image = (struct ccr_image){
		.pid = 7,
		.chunk_size = CHUNK,
		.nr_devices = 1,
		.nr_allocations = 2,
		.nr_stripes = 2,
		.nr_chunks = 2,
		.devices = s->devices,
		.allocations = s->allocations,
		.chunks = s->chunks,
		.stripes = s->stripes,
	};
	return &s->image;
}

static int check(const struct ccr_image *image)
{
	image_error[0] = '\0';
	return ccr__image_check(image, image_error, sizeof(image_error));
}

/* Checks that a value is accepted, or refused with a message that names the field. */
#define ACCEPTS(field, value)            \
	do {                             \
		make_sound(&s);          \
		s.field = (value);       \
		CHECK(!check(&s.image)); \
	} while (0)
#define REFUSES(field, value, name)                \
	do {                                       \
		make_sound(&s);                    \
		s.field = (value);                 \
		CHECK(check(&s.image) == -EINVAL); \
		SAYS(image_error, name, "");       \
	} while (0)

static void test_numbers(void)
{
	struct sound s;

	CHECK(!check(make_sound(&s)));
	ACCEPTS(image.pid, 1);
	REFUSES(image.pid, 0, "pid is 0");
	ACCEPTS(image.chunk_size, CCR_IMAGE_MAX_CHUNK);
	REFUSES(image.chunk_size, CCR_IMAGE_MAX_CHUNK + CCR_IMAGE_ALIGN, "chunk_size");
	REFUSES(image.chunk_size, CHUNK + 1, "chunk_size");
	REFUSES(image.chunk_size, 0, "chunk_size");
	ACCEPTS(stripes[1].size, CCR_IMAGE_MAX_BYTES);
	REFUSES(stripes[1].size, CCR_IMAGE_MAX_BYTES + CCR_IMAGE_ALIGN, "stripe_sizes[1]");
	REFUSES(stripes[1].size, CHUNK + 1, "stripe_sizes[1]");
	REFUSES(stripes[1].size, 0, "stripe_sizes[1]");
	ACCEPTS(allocations[1].address, UINT64_MAX - CHUNK);
	REFUSES(allocations[1].address, UINT64_MAX - CHUNK + 1, "allocations[1].address");
	ACCEPTS(allocations[1].requested, 1);
	REFUSES(allocations[1].requested, CHUNK + 1, "allocations[1].requested");
	REFUSES(allocations[1].device, 1, "allocations[1].device");
	REFUSES(allocations[1].size, 0, "allocations[1].size");
	REFUSES(allocations[1].size, CCR_IMAGE_MAX_BYTES - CHUNK + 1, "allocations[1].size");
	REFUSES(chunks[1].length, 0, "chunks[1].length");
	REFUSES(chunks[1].length, CHUNK + 1, "chunks[1].length");
	REFUSES(chunks[1].stripe, 2, "chunks[1].stripe");
	REFUSES(chunks[1].offset, 2 * CHUNK, "chunks[1].offset");
	REFUSES(chunks[1].offset, CHUNK + 1, "chunks[1].offset");
}

/* Chunks may be adjacent in a stripe, but must not overlap by a byte at either end. */
static void test_overlaps(void)
{
	struct sound s;

	make_sound(&s);
	s.stripes[0].size = 8 * CHUNK;
	s.chunks[0].offset = 2 * CHUNK;
	for (uint64_t offset = 0; offset <= 4 * CHUNK; offset += CCR_IMAGE_ALIGN) {
		const bool overlaps = offset > CHUNK && offset < 3 * CHUNK;

		s.chunks[1].offset = offset;
		CHECK(check(&s.image) == (overlaps ? -EINVAL : 0));
		/* the message names the later chunk first */
		if (overlaps && offset < 2 * CHUNK)
			SAYS(image_error, "chunks[0].offset is", "an overlap with chunk 1");
		else if (overlaps && offset > 2 * CHUNK)
			SAYS(image_error, "chunks[1].offset is", "an overlap with chunk 0");
	}
	s.chunks[1].offset = s.chunks[0].offset;
	s.chunks[1].stripe = 1;
	s.stripes[1].size = 8 * CHUNK;
	CHECK(!check(&s.image));
	/* a chunk of zeroes has no place */
	s.chunks[1] = (struct ccr_image_chunk){.allocation = 1, .length = CHUNK, .is_zero = true};
	s.chunks[0].offset = 0;
	CHECK(!check(&s.image));
}

static int parse(const Ccr__Pb__Manifest *message)
{
	struct ccr_image *image = NULL;
	void *data;
	size_t size;
	int ret;

	CHECK(!ccr__image_pack_message(&message->base, CCR_IMAGE_MAGIC, CCR_IMAGE_VERSION, &data,
				       &size));
	image_error[0] = '\0';
	ret = ccr_image_parse(&image, data, size, "cuda-7.img", image_error, sizeof(image_error));
	free(data);
	ccr_image_close(image);
	return ret;
}

/* Checks that a list with one entry too many is refused. */
#define REFUSES_MORE(list, count, entry, word)                          \
	do {                                                            \
		Ccr__Pb__Manifest message = CCR__PB__MANIFEST__INIT;    \
		void **entries = calloc((count) + 1, sizeof(*entries)); \
                                                                        \
		CHECK(entries);                                         \
		for (size_t i = 0; i <= (count); i++)                   \
			entries[i] = &(entry);                          \
		message.list = (void *)entries;                         \
		message.n_##list = (count) + 1;                         \
		CHECK(parse(&message) == -EINVAL);                      \
		SAYS(image_error, #list " has ", word);                 \
		free(entries);                                          \
	} while (0)

static void test_counts(void)
{
	Ccr__Pb__Device device = CCR__PB__DEVICE__INIT;
	Ccr__Pb__Allocation allocation = CCR__PB__ALLOCATION__INIT;
	Ccr__Pb__Chunk chunk = CCR__PB__CHUNK__INIT;
	Ccr__Pb__Manifest stripes = CCR__PB__MANIFEST__INIT;
	uint64_t sizes[CCR_IMAGE_MAX_STRIPES + 1] = {0};

	REFUSES_MORE(devices, CCR_IMAGE_MAX_DEVICES, device, "at most 64");
	REFUSES_MORE(allocations, CCR_IMAGE_MAX_ALLOCATIONS, allocation, "at most 1048576");
	REFUSES_MORE(chunks, CCR_IMAGE_MAX_CHUNKS, chunk, "at most 2097152");
	stripes.stripe_sizes = sizes;
	stripes.n_stripe_sizes = CCR_IMAGE_MAX_STRIPES + 1;
	CHECK(parse(&stripes) == -EINVAL);
	SAYS(image_error, "stripe_sizes has 1025", "at most 1024");
}

static long most_kib(void)
{
	struct rusage usage;

	CHECK(!getrusage(RUSAGE_SELF, &usage));
	return usage.ru_maxrss;
}

/* Parses a manifest of `size` bytes whose message repeats `bytes`. */
static int parse_repeated(size_t size, const void *bytes, size_t length)
{
	struct ccr_image_head head = {.magic = CCR_IMAGE_MAGIC,
				      .version = htole32(CCR_IMAGE_VERSION),
				      .bytes = htole64(size - sizeof(head))};
	unsigned char *data = malloc(size + length);
	struct ccr_image *image;
	int ret;

	CHECK(data);
	for (size_t at = sizeof(head); at < size; at += length)
		memcpy(data + at, bytes, length);
	/* Without the part of one more that may follow the last one. */
	head.bytes = htole64((size - sizeof(head)) / length * length);
	head.crc = htole32(ccr_crc32(data + sizeof(head), le64toh(head.bytes)));
	memcpy(data, &head, sizeof(head));
	image_error[0] = '\0';
	ret = ccr_image_parse(&image, data, sizeof(head) + le64toh(head.bytes), "cuda-7.img",
			      image_error, sizeof(image_error));
	if (!ret)
		ccr_image_close(image);
	free(data);
	return ret;
}

/*
 * Two bytes of the file become a hundred and more in memory. The daemon is
 * root's and opens images that others made, so it must find out before.
 */
static void test_memory(void)
{
	/* Entries of devices, allocations and chunks; chunks in entries; unknown fields. */
	static const struct {
		const char *bytes;
		size_t length;
		const char *says;
	} cases[] = {
		{"\x3a\x00", 2, "devices has 4194292 entries; at most 64"},
		{"\x42\x00", 2, "allocations has 4194292 entries; at most 1048576"},
		{"\x4a\x00", 2, "chunks has 4194292 entries; at most 2097152"},
		{"\x50\x01", 2, "stripe_sizes has 4194292 entries; at most 1024"},
		{"\x52\x10\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 18, "at most 1024"},
		{"\x4a\x10\x50\1\x50\1\x50\1\x50\1\x50\1\x50\1\x50\1\x50\1", 18,
		 "3728256 fields that this version does not know"},
		{"\x78\x01", 2, "4194292 fields that this version does not know"},
		{"\x20\x07", 2, "4194292 fields"}, /* pid, many times */
	};
	long before;

	before = most_kib();
	CHECK(parse_repeated(CCR_IMAGE_MAX_MANIFEST, "\x4a\x00", 2) == -EINVAL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK(parse_repeated(8 * MIB, cases[i].bytes, cases[i].length) == -EINVAL);
		SAYS(image_error, "cuda-7.img: ", cases[i].says);
	}
	CHECK(most_kib() - before < 256 << 10); /* 128 MiB are the inputs */
}

/* The same in few entries, which are within the limits. */
static void test_fields_of_an_entry(void)
{
	unsigned char data[sizeof(struct ccr_image_head) + 3 + 256];
	struct ccr_image_head head = {.magic = CCR_IMAGE_MAGIC,
				      .version = htole32(CCR_IMAGE_VERSION),
				      .bytes = htole64(sizeof(data) - sizeof(head))};
	struct ccr_image *image;

	memcpy(data + sizeof(head), "\x4a\x80\x02", 3);
	for (size_t at = sizeof(head) + 3; at < sizeof(data); at += 2)
		memcpy(data + at, "\x08\x00", 2);
	head.crc = htole32(ccr_crc32(data + sizeof(head), sizeof(data) - sizeof(head)));
	memcpy(data, &head, sizeof(head));
	CHECK(ccr_image_parse(&image, data, sizeof(data), "cuda-7.img", image_error,
			      sizeof(image_error)) == -EINVAL);
	SAYS(image_error, "cuda-7.img: message", "not the protobuf message");
}

static void leave(int dirfd, const char *name)
{
	const int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, "half", 4) == 4);
	close(fd);
}

/* The next dump to the directory replaces them. */
static void test_left_overs_of_a_killed_writer(int dirfd)
{
	const uint64_t sizes[] = {4 * KIB, 64 * KIB};
	struct ccr_image *image;

	leave(dirfd, "cuda-7.img.tmp");
	leave(dirfd, "cuda-7-0.img.tmp");
	image_write(dirfd, 7, sizes, 2, 1);
	CHECK(image_count_files() == 2);
	CHECK(!ccr_image_open(&image, dirfd, 7, image_error, sizeof(image_error)));
	ccr_image_close(image);
}

/* The same for a manifest of pages, whose writer has no state. */
static void test_left_over_manifest(int dirfd)
{
	char found[8] = "";
	int fd;

	leave(dirfd, "cuda-host-7.img.tmp");
	CHECK(!ccr__image_write_manifest(dirfd, "cuda-host-7.img", "whole", 6, true));
	fd = openat(dirfd, "cuda-host-7.img", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && read(fd, found, sizeof(found)) == 6 && !strcmp(found, "whole"));
	close(fd);
	CHECK(faccessat(dirfd, "cuda-host-7.img.tmp", F_OK, 0));
}

/* Closing an image that was only parsed must not close any descriptor, not even 0. */
static void test_parsed_image_has_no_files(void)
{
	const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct ccr_image *image;
	struct sound s;
	void *data;
	size_t size;

	CHECK(null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO);
	close(null);
	CHECK(!ccr__image_pack(make_sound(&s), &data, &size));
	CHECK(!ccr_image_parse(&image, data, size, "x", image_error, sizeof(image_error)));
	CHECK(image->nr_stripes == 2 && image->bytes == 2 * CHUNK);
	ccr_image_close(image);
	free(data);
	CHECK(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

/* The message about a wrong length has both numbers. */
static void test_length_in_message(void)
{
	Ccr__Pb__Manifest message = CCR__PB__MANIFEST__INIT;
	struct ccr_image *image;
	char file[64], head[64];
	void *data;
	size_t size;

	CHECK(!ccr__image_pack_message(&message.base, CCR_IMAGE_MAGIC, CCR_IMAGE_VERSION, &data,
				       &size));
	snprintf(file, sizeof(file), "the file has %zu bytes", size);
	snprintf(head, sizeof(head), "its head says %zu", size + 1000);
	((struct ccr_image_head *)data)->bytes += 1000;
	CHECK(ccr_image_parse(&image, data, size, "x", image_error, sizeof(image_error)) ==
	      -ENODATA);
	SAYS(image_error, file, head);
	free(data);
}

int main(void)
{
	const int dirfd = image_directory();

	test_numbers();
	test_overlaps();
	test_counts();
	test_memory();
	test_fields_of_an_entry();
	test_left_overs_of_a_killed_writer(dirfd);
	test_left_over_manifest(dirfd);
	test_parsed_image_has_no_files();
	test_length_in_message();
	close(dirfd);
	return 0;
}
