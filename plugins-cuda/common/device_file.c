// SPDX-License-Identifier: MIT
#include "common/device_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/protocol/device_map.h"

#define NVIDIA_MAJOR 195 /* assigned: nvidia0 to nvidia253, and those below */
#define FIRST_SHARED 254 /* nvidia-modeset; then nvidiactl */

/* The names in /proc/devices of the drivers with a major number that the kernel chooses. */
static const char *const drivers[] = {"nvidia-uvm", "nvidia-caps", "nvidia-caps-imex-channels"};

static bool is_named(const char *name)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (!strcmp(name, drivers[i]))
			return true;
	return false;
}

/* True if /proc/devices says that the major number of a character device is NVIDIA's. */
static bool is_nvidias(unsigned int number)
{
	FILE *file = fopen("/proc/devices", "re");
	unsigned int listed;
	bool found = false;
	char line[80], name[64];

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file) && strncmp(line, "Block", 5))
		found = sscanf(line, "%u %63s", &listed, name) == 2 && listed == number &&
			is_named(name);
	fclose(file);
	return found;
}

static bool is_softcuda(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && !strcmp(slash + 1, CCR_SOFTCUDA_NODE);
}

bool ccr_device_file_is_drivers(const struct stat *st, const char *path)
{
	if (!S_ISCHR(st->st_mode))
		return S_ISBLK(st->st_mode) && is_softcuda(path);
	return major(st->st_rdev) == NVIDIA_MAJOR || is_softcuda(path) ||
	       is_nvidias(major(st->st_rdev));
}

bool ccr_device_path_is_drivers(const char *path)
{
	return is_softcuda(path) || (!strncmp(path, "/dev/nvidia", strlen("/dev/nvidia")) &&
				     strncmp(path, "/dev/nvidia-fs", strlen("/dev/nvidia-fs")));
}

struct gpu {
	int number; /* of its device file */
	uint8_t uuid[16];
};

/* Reads GPUS/NAME/information. False unless it has both. */
static bool read_gpu(const char *gpus, const char *name, struct gpu *gpu)
{
	bool has_uuid = false, has_number = false;
	char path[512], line[256], text[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/information", gpus, name);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "GPU UUID: %63s", text) == 1)
			has_uuid = ccr_uuid_parse(text, gpu->uuid);
		has_number |= sscanf(line, "Device Minor: %d", &gpu->number) == 1;
	}
	fclose(file);
	return has_uuid && has_number;
}

/* Fills in the GPU with this number, or with this UUID if the number is negative. */
static bool find_gpu(const char *gpus, struct gpu *wanted)
{
	DIR *dir = opendir(gpus);
	struct dirent *entry;
	bool is_found = false;
	struct gpu gpu;

	if (!dir)
		return false;
	while (!is_found && (entry = readdir(dir)))
		is_found =
			entry->d_name[0] != '.' && read_gpu(gpus, entry->d_name, &gpu) &&
			(wanted->number >= 0 ? gpu.number == wanted->number
					     : !memcmp(gpu.uuid, wanted->uuid, sizeof(gpu.uuid)));
	closedir(dir);
	if (is_found)
		*wanted = gpu;
	return is_found;
}

bool ccr_device_file_gpu(const struct stat *st, const char *gpus, uint8_t uuid[16])
{
	struct gpu gpu = {.number = minor(st->st_rdev)};

	if (major(st->st_rdev) != NVIDIA_MAJOR || gpu.number >= FIRST_SHARED ||
	    !find_gpu(gpus, &gpu))
		return false;
	memcpy(uuid, gpu.uuid, sizeof(gpu.uuid));
	return true;
}

int ccr_device_file_number(const char *gpus, const uint8_t uuid[16])
{
	struct gpu gpu = {.number = -1};

	memcpy(gpu.uuid, uuid, sizeof(gpu.uuid));
	return find_gpu(gpus, &gpu) ? gpu.number : -ENOENT;
}
