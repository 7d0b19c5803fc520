// SPDX-License-Identifier: MIT
/* Which GPUs a helper shows to the driver: those that the images name, if the machine has more. */
#include "pool/device/visible.h"

#include <sys/stat.h>
#include <unistd.h>

#include "test/image/image_test.h"

#define OTHER "GPU-0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

static char gpus[] = "/tmp/ccr-visible-XXXXXX";
static char own[64];

/* As the driver writes it. */
static void add_gpu(int number, const char *uuid)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "%s/0000:0%d:00.0", gpus, number);
	CHECK(!mkdir(path, 0700));
	strcat(path, "/information");
	file = fopen(path, "w");
	CHECK(file);
	fprintf(file,
		"Model: \t\t NVIDIA H200\nIRQ:   \t\t 35\nGPU UUID: \t %s\nVideo BIOS: \t 1\n",
		uuid);
	fclose(file);
}

static void remove_gpu(int number)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/0000:0%d:00.0/information", gpus, number);
	unlink(path);
	*strrchr(path, '/') = '\0';
	CHECK(!rmdir(path));
}

/* The UUID that images of the test name. */
static void find_own(int dirfd)
{
	struct ccr_image *image;
	int at;

	CHECK(!ccr_image_open(&image, dirfd, 7, image_error, sizeof(image_error)));
	at = sprintf(own, "GPU-");
	for (int i = 0; i < 16; i++)
		at += sprintf(own + at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      image->devices[0].uuid[i]);
	ccr_image_close(image);
}

/* An image whose memory the driver has handed over, of the same GPU. */
static void write_of_driver(int dirfd, int pid)
{
	const struct ccr_image_options options = {
		.nr_writers = 1, .chunk_size = 64 * KIB, .is_driver = true};
	const struct ccr_image_device device = {.uuid = "0123456789abcde", .name = "test device"};
	const struct ccr_image_allocation allocation = {
		.id = 1, .size = 4 * KIB, .flags = CCR_IMAGE_ALLOCATION_DRIVER};
	struct ccr_image_writer *writer;
	char bytes[4 * KIB];

	image_pattern(bytes, sizeof(bytes), 1);
	CHECK(!ccr_image_writer_begin(&writer, dirfd, pid, &options, image_error,
				      sizeof(image_error)));
	CHECK(!ccr_image_writer_add_device(writer, &device));
	CHECK(!ccr_image_writer_add_allocation(writer, &allocation));
	CHECK(!ccr_image_writer_append(writer, 0, 0, 0, bytes, sizeof(bytes), image_error,
				       sizeof(image_error)));
	CHECK(!ccr_image_writer_commit(writer, image_error, sizeof(image_error)));
}

static const char *visible(int dirfd)
{
	static char out[512];

	return visible_devices(dirfd, gpus, out, sizeof(out)) ? out : NULL;
}

int main(void)
{
	const uint64_t size = 64 * KIB;
	const int dirfd = image_directory();
	char small[40];

	CHECK(mkdtemp(gpus));
	CHECK(!visible(dirfd));
	image_write(dirfd, 7, &size, 1, 1);
	image_write(dirfd, 8, &size, 1, 1);
	find_own(dirfd);
	add_gpu(1, own);
	CHECK(!visible(dirfd)); /* there is nothing to hide */
	add_gpu(2, OTHER);
	CHECK(visible(dirfd) && !strcmp(visible(dirfd), own));
	CHECK(!visible_devices(dirfd, gpus, small, sizeof(small)) && !*small);
	CHECK(!visible_devices(dirfd, "/nonexistent", small, sizeof(small)));

	image_patch("cuda-8.img", 0, "damaged", 7);
	CHECK(!visible(dirfd));
	image_write(dirfd, 8, &size, 1, 1);
	CHECK(visible(dirfd));
	write_of_driver(dirfd, 8); /* the driver may want a context on the other one, too */
	CHECK(!visible(dirfd));
	image_write(dirfd, 8, &size, 1, 1);
	/* it is of another machine, or of a part of a GPU */
	remove_gpu(1);
	add_gpu(3, "GPU-ffffffff-4e5f-6071-8293-a4b5c6d7e8f9");
	CHECK(!visible(dirfd));
	add_gpu(1, "MIG-is-no-GPU");
	CHECK(!visible(dirfd));

	for (int number = 1; number <= 3; number++)
		remove_gpu(number);
	CHECK(!rmdir(gpus));
	return 0;
}
