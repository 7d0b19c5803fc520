// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol/device_map.h"
#include "pool/device/visible.h"
#include "pool/images/load.h"

#define MOST_GPUS   CCR_IMAGE_MAX_DEVICES
#define LONGEST_ROW 256

struct gpus {
	char uuids[MOST_GPUS][CCR_UUID_TEXT];
	size_t nr;
};

static bool has(const struct gpus *gpus, const char *uuid)
{
	for (size_t i = 0; i < gpus->nr; i++)
		if (!strcmp(gpus->uuids[i], uuid))
			return true;
	return false;
}

static bool add(struct gpus *gpus, const char *uuid)
{
	if (has(gpus, uuid))
		return true;
	if (gpus->nr == MOST_GPUS)
		return false;
	snprintf(gpus->uuids[gpus->nr++], CCR_UUID_TEXT, "%s", uuid);
	return true;
}

/* Adds the GPU whose file it is. */
static bool read_information(const char *path, struct gpus *gpus)
{
	FILE *file = fopen(path, "re");
	char row[LONGEST_ROW], uuid[CCR_UUID_TEXT];
	bool found = false;

	while (file && !found && fgets(row, sizeof(row), file))
		found = sscanf(row, "GPU UUID: %40s", uuid) == 1 && add(gpus, uuid);
	if (file)
		fclose(file);
	return found;
}

static bool list_machine(const char *gpus_dir, struct gpus *gpus)
{
	DIR *dir = opendir(gpus_dir);
	bool all = dir;
	char path[PATH_MAX];

	for (struct dirent *entry; all && (entry = readdir(dir));) {
		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/information", gpus_dir, entry->d_name);
		all = read_information(path, gpus);
	}
	if (dir)
		closedir(dir);
	return all;
}

static bool add_image(int images_dir, pid_t pid, struct gpus *gpus)
{
	struct ccr_image *image = NULL;
	char error[256], uuid[CCR_UUID_TEXT];
	bool added;

	/* The driver wants a context on each device of a process, also where it has no memory. */
	added = !ccr_image_open_early(&image, images_dir, pid, error, sizeof(error)) &&
		!image->is_driver;
	for (uint32_t i = 0; added && i < image->nr_devices; i++) {
		ccr_uuid_format(uuid, image->devices[i].uuid);
		added = add(gpus, uuid);
	}
	ccr_image_close(image);
	return added;
}

static bool list_images(int images_dir, struct gpus *gpus)
{
	pid_t *pids = NULL;
	char error[256];
	size_t nr = 0;
	bool all = !load_list_images(images_dir, &pids, &nr, error, sizeof(error)) && nr;

	for (size_t i = 0; all && i < nr; i++)
		all = add_image(images_dir, pids[i], gpus);
	free(pids);
	return all;
}

bool visible_devices(int images_dir, const char *gpus_dir, char *out, size_t size)
{
	struct gpus machine = {0}, wanted = {0};
	size_t at = 0;

	*out = '\0';
	if (!list_machine(gpus_dir, &machine) || machine.nr < 2)
		return false;
	if (!list_images(images_dir, &wanted) || !wanted.nr || wanted.nr >= machine.nr ||
	    size < wanted.nr * CCR_UUID_TEXT)
		return false;
	for (size_t i = 0; i < wanted.nr; i++)
		if (!has(&machine, wanted.uuids[i]))
			return false;
	for (size_t i = 0; i < wanted.nr; i++)
		at += snprintf(out + at, size - at, "%s%s", i ? "," : "", wanted.uuids[i]);
	return true;
}

void visible_limit(int images_dir)
{
	char value[MOST_GPUS * CCR_UUID_TEXT];

	if (!getenv("CUDA_VISIBLE_DEVICES") &&
	    visible_devices(images_dir, VISIBLE_GPUS_DIR, value, sizeof(value)))
		setenv("CUDA_VISIBLE_DEVICES", value, 1);
}
