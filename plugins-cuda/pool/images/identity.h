// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_IDENTITY_H
#define CCR_POOL_IDENTITY_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* Where an image lies, and which version of it. */
struct image_identity {
	dev_t dev;
	ino_t dir, manifest;
	struct timespec mtime;
	off_t bytes;
	pid_t pid;
};

/* 0 or -errno. */
int image_identify(int images_dir, pid_t image_pid, struct image_identity *out);
/* The image of the same process in the same directory, in whatever version. */
bool image_is_same(const struct image_identity *a, const struct image_identity *b);
/* The same version; of an image that is the same. */
bool image_is_unchanged(const struct image_identity *a, const struct image_identity *b);

#endif
