// SPDX-License-Identifier: MIT
#include "image/format/format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ccr_image_manifest_name(char *out, int pid)
{
	snprintf(out, CCR_IMAGE_NAME_MAX, "cuda-%d.img", pid);
}

void ccr_image_stripe_name(char *out, int pid, uint32_t stripe)
{
	snprintf(out, CCR_IMAGE_NAME_MAX, "cuda-%d-%u.img", pid, stripe);
}

int ccr_image_pid_of_name(const char *name)
{
	char again[CCR_IMAGE_NAME_MAX], *end;
	long pid;

	if (strncmp(name, "cuda-", 5))
		return 0;
	pid = strtol(name + 5, &end, 10);
	if (pid <= 0 || pid > INT_MAX)
		return 0;
	ccr_image_manifest_name(again, pid);
	return strcmp(name, again) ? 0 : pid;
}

bool ccr_checkpoint_id_is_none(const uint8_t id[CCR_CHECKPOINT_ID_SIZE])
{
	static const uint8_t none[CCR_CHECKPOINT_ID_SIZE];

	return !memcmp(id, none, sizeof(none));
}

int ccr_image_for_each_name(int dirfd, int (*each)(const char *name, void *data), void *data)
{
	/* Opened again, so that reading has its own offset. */
	const int own = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;
	int ret = 0;

	if (!dir) {
		ret = -errno;
		if (own >= 0)
			close(own);
		return ret;
	}
	while (!ret && (entry = readdir(dir)))
		ret = each(entry->d_name, data);
	closedir(dir);
	return ret;
}

int ccr__image_error(int ret, char *error, size_t error_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, error_size, format, args);
	va_end(args);
	return ret;
}
