// SPDX-License-Identifier: MIT
#include "image/format/format.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int ccr__image_error(int ret, char *error, size_t error_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, error_size, format, args);
	va_end(args);
	return ret;
}
