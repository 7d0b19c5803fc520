// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_IDENTITY_H
#define CCR_POOL_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* Where an image is, and which version of it: what can be asked without reading it. */
struct image_identity {
	dev_t dir_dev, manifest_dev; /* inode numbers are only unique on a device */
	ino_t dir, manifest;
	struct timespec mtime;
	off_t bytes;
	pid_t pid;
};

/* Returns 0 or -errno. */
int image_identify(int images_dir, pid_t image_pid, struct image_identity *out);
/* The path of a directory now, or nothing. */
void image_dir_name(int images_dir, char *name, size_t size);
/* True for images of the same process in the same directory, in any version. */
bool image_is_same(const struct image_identity *a, const struct image_identity *b);
/* True when the version is the same too; call it for the same image only. */
bool image_is_unchanged(const struct image_identity *a, const struct image_identity *b);

/*
 * True when the files of the directory are a copy of the image with this manifest, whose memory is
 * on a device: the manifest is the same, and a random part of the chunks, 256 MiB or all of them,
 * has the checksums in it. So it is not enough to know the ids of an image. Logs a wrong checksum.
 */
bool image_is_copy(int images_dir, pid_t image_pid, const void *manifest, size_t size);

#endif
