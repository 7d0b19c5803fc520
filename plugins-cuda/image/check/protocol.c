// SPDX-License-Identifier: MIT
#include "common/protocol/protocol.h"

#include <errno.h>

#include "image/format/format.h"

int ccr_image_check_protocol(const struct ccr_image *image, char *error, size_t error_size)
{
	if (ccr_protocol_is_supported(image->protocol))
		return 0;
	if (image->protocol < CCR_PROTOCOL_MIN)
		return ccr__image_error(-EPROTONOSUPPORT, error, error_size,
					"%s: protocol is %u (criu-cuda %s); this version restores "
					"protocol %u and later: make the checkpoint again",
					image->name, image->protocol, image->tool,
					CCR_PROTOCOL_MIN);
	return ccr__image_error(-EPROTONOSUPPORT, error, error_size,
				"%s: protocol is %u; this version restores protocols up to %u: "
				"use version %s or later",
				image->name, image->protocol, CCR_PROTOCOL_VERSION, image->tool);
}
