// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <unistd.h>

#include "image/image.h"

void ccr_image_close(struct ccr_image *image)
{
	if (!image)
		return;
	for (uint32_t i = 0; image->stripes && i < image->nr_stripes; i++)
		if (image->stripes[i].fd >= 0)
			close(image->stripes[i].fd);
	if (image->dirfd >= 0)
		close(image->dirfd);
	free(image->devices);
	free(image->allocations);
	free(image->imports);
	free(image->chunks);
	free(image->stripes);
	free(image->manifest);
	free(image);
}
