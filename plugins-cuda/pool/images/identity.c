// SPDX-License-Identifier: MIT
#include "pool/images/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "image/image.h"

#define SAMPLE_BYTES   (256ull << 20)
#define SAMPLE_THREADS 8

int image_identify(int images_dir, pid_t image_pid, struct image_identity *out)
{
	char name[CCR_IMAGE_NAME_MAX];
	struct stat dir, manifest;

	ccr_image_manifest_name(name, image_pid);
	if (fstat(images_dir, &dir) || fstatat(images_dir, name, &manifest, 0))
		return -errno;
	memset(out, 0, sizeof(*out));
	out->dir_dev = dir.st_dev;
	out->manifest_dev = manifest.st_dev;
	out->dir = dir.st_ino;
	out->manifest = manifest.st_ino;
	out->mtime = manifest.st_mtim;
	out->bytes = manifest.st_size;
	out->pid = image_pid;
	return 0;
}

void image_dir_name(int images_dir, char *name, size_t size)
{
	char link[32];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", images_dir);
	len = readlink(link, name, size - 1);
	name[len > 0 ? len : 0] = '\0';
}

bool image_is_same(const struct image_identity *a, const struct image_identity *b)
{
	return a->dir_dev == b->dir_dev && a->dir == b->dir && a->pid == b->pid;
}

bool image_is_unchanged(const struct image_identity *a, const struct image_identity *b)
{
	return a->manifest_dev == b->manifest_dev && a->manifest == b->manifest &&
	       a->bytes == b->bytes && a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec;
}

bool image_is_copy(int images_dir, pid_t image_pid, const void *manifest, size_t size)
{
	struct ccr_image_verify_result result;
	struct ccr_image *image;
	char error[512];
	int ret;

	if (ccr_image_open(&image, images_dir, image_pid, error, sizeof(error)))
		return false; /* the load says why */
	ret = image->manifest_size != size || memcmp(image->manifest, manifest, size);
	if (!ret) {
		ret = ccr_image_verify_sample(image, SAMPLE_BYTES, SAMPLE_THREADS, &result, error,
					      sizeof(error));
		if (ret)
			ccr_warn("a copy of a resident image is not used as such: %s", error);
	}
	ccr_image_close(image);
	return !ret;
}
