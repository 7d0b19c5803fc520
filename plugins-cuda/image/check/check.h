// SPDX-License-Identifier: MIT
#ifndef CCR_IMAGE_CHECK_H
#define CCR_IMAGE_CHECK_H

#include "image/image.h"

/* Every field of a converted manifest: 0, or -EINVAL with the field's name. */
int ccr__image_check(const struct ccr_image *image, char *error, size_t error_size);

#endif
