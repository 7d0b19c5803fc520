// SPDX-License-Identifier: MIT
#ifndef CCR_IMAGE_WIRE_H
#define CCR_IMAGE_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* How many entries a repeated field may have. */
struct ccr__wire_limit {
	const char *field;
	uint64_t max;
};

/*
 * Counts what the encoded message holds, without allocating, so that unpacking
 * it takes memory in proportion to a manifest that the writer makes: two bytes
 * of an empty entry become a hundred. Each repeated field must be in `limits`.
 * Returns 0, or -EINVAL with a sentence that calls the file `name`: a field has
 * too many entries, there are more fields of later versions than entries, or
 * the bytes are not an encoded message.
 */
int ccr__image_check_wire(const ProtobufCMessageDescriptor *descriptor, const void *message,
			  size_t size, const struct ccr__wire_limit *limits, size_t nr_limits,
			  const char *name, char *error, size_t error_size);

#endif
