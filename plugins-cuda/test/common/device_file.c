// SPDX-License-Identifier: MIT
/* Description: which open files are device files of the driver, and of which GPU. */
#include "common/device_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "test/check.h"

static const uint8_t first[16] = "\x11\x11\x11\x11\x22\x22\x33\x33\x44\x44\x55\x55\x55\x55\x55\x01";
static const uint8_t second[16] =
	"\x11\x11\x11\x11\x22\x22\x33\x33\x44\x44\x55\x55\x55\x55\x55\x02";

static struct stat device(mode_t type, unsigned int major_number, unsigned int minor_number)
{
	return (struct stat){.st_mode = type | 0600,
			     .st_rdev = makedev(major_number, minor_number)};
}

/* Major 10 has every kind of small device; the kernel chooses 240 and above. */
static void test_kinds(void)
{
	const struct stat gpu = device(S_IFCHR, 195, 0), control = device(S_IFCHR, 195, 255);
	const struct stat soft = device(S_IFCHR, 0, 0), misc = device(S_IFCHR, 10, 120);
	const struct stat null = device(S_IFCHR, 1, 3), file = device(S_IFREG, 0, 0);
	const struct stat block = device(S_IFBLK, 195, 0);

	CHECK(ccr_device_file_is_drivers(&gpu, "/dev/nvidia0"));
	CHECK(ccr_device_file_is_drivers(&control, "/dev/nvidiactl"));
	CHECK(ccr_device_file_is_drivers(&soft, "/dev/shm/softcuda-0/softcudactl"));
	CHECK(!ccr_device_file_is_drivers(&soft, "/dev/shm/softcuda-0/softcudactl2"));
	CHECK(!ccr_device_file_is_drivers(&misc, "/dev/gdrdrv"));
	CHECK(!ccr_device_file_is_drivers(&misc, "/dev/nvidia-fs0"));
	CHECK(!ccr_device_file_is_drivers(&null, "/dev/null"));
	CHECK(!ccr_device_file_is_drivers(&file, "/dev/shm/softcuda-0/softcudactl"));
	CHECK(!ccr_device_file_is_drivers(&block, "/dev/nvidia0"));
	CHECK(ccr_device_file_is_drivers(&block, "/devices/softcudactl"));
	CHECK(ccr_device_path_is_drivers("/dev/nvidia-uvm"));
	CHECK(ccr_device_path_is_drivers("/devices/softcudactl"));
	CHECK(!ccr_device_path_is_drivers("/dev/nvidia-fs0"));
	CHECK(!ccr_device_path_is_drivers("/dev/dri/card0"));
}

static void write_gpu(const char *dir, const char *bus, const char *text)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, bus);
	CHECK(!mkdir(path, 0700));
	strcat(path, "/information");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void test_gpus(const char *dir)
{
	const struct stat zero = device(S_IFCHR, 195, 0), two = device(S_IFCHR, 195, 2);
	const struct stat control = device(S_IFCHR, 195, 255), other = device(S_IFCHR, 10, 0);
	uint8_t uuid[16], missing[16] = {0};

	write_gpu(dir, "0000:19:00.0",
		  "Model: \t\t NVIDIA H200\nIRQ:   \t\t 45\n"
		  "GPU UUID: \t GPU-11111111-2222-3333-4444-555555555501\n"
		  "Device Minor: \t 2\nGPU Excluded:\t No\n");
	write_gpu(dir, "0000:3b:00.0",
		  "GPU UUID: \t GPU-11111111-2222-3333-4444-555555555502\nDevice Minor: \t 0\n");
	write_gpu(dir, "0000:4c:00.0", "GPU UUID: \t GPU-none\nDevice Minor: \t 1\n");
	CHECK(ccr_device_file_gpu(&zero, dir, uuid) && !memcmp(uuid, second, 16));
	CHECK(ccr_device_file_gpu(&two, dir, uuid) && !memcmp(uuid, first, 16));
	CHECK(!ccr_device_file_gpu(&control, dir, uuid));
	CHECK(!ccr_device_file_gpu(&other, dir, uuid));
	CHECK(!ccr_device_file_gpu(&zero, "/nonexistent", uuid));
	CHECK(ccr_device_file_number(dir, first) == 2);
	CHECK(ccr_device_file_number(dir, second) == 0);
	CHECK(ccr_device_file_number(dir, missing) == -ENOENT);
}

int main(void)
{
	char dir[] = "/tmp/criu-cuda-gpus-XXXXXX", command[100];

	CHECK(mkdtemp(dir));
	test_kinds();
	test_gpus(dir);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	CHECK(!system(command));
	return failures ? 1 : 0;
}
