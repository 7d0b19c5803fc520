// SPDX-License-Identifier: MIT
#ifndef CCR_IMAGE_READ_H
#define CCR_IMAGE_READ_H

#include <sys/stat.h>

#include "image/image.h"

/* A descriptor of a regular file, or -errno. */
int ccr__image_open_file(int dirfd, const char *name, struct stat *status, char *error,
			 size_t error_size);
/* All of a manifest file; `*data` is the caller's to free. 0 or -errno. */
int ccr__image_read_manifest(int dirfd, const char *name, void **data, size_t *size, char *error,
			     size_t error_size);

#endif
