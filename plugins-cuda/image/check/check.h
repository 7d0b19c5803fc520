// SPDX-License-Identifier: MIT
#ifndef CCR_IMAGE_CHECK_H
#define CCR_IMAGE_CHECK_H

#include "image/image.h"

/*
 * Checks every field of a parsed manifest. Returns 0, or -EINVAL with a
 * sentence naming the field.
 */
int ccr__image_check(const struct ccr_image *image, char *error, size_t error_size);

#endif
