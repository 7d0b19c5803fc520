// SPDX-License-Identifier: MIT
#ifndef CCR_IMAGE_READ_H
#define CCR_IMAGE_READ_H

#include <sys/stat.h>

#include "image/image.h"

/* Opens a regular file. Returns its descriptor, which the caller closes, or -errno. */
int ccr__image_open_file(int dirfd, const char *name, struct stat *status, char *error,
			 size_t error_size);
/* Reads a whole manifest file. The caller frees `*data`. Returns 0 or -errno. */
int ccr__image_read_manifest(int dirfd, const char *name, void **data, size_t *size, char *error,
			     size_t error_size);

#endif
