// SPDX-License-Identifier: MIT
/* Walks over protobuf's wire format. The content of fields is checked once they are unpacked. */
#include "image/read/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "image/format/format.h"

/* Fields of one entry, and fields of the message that are not repeated. Each may occur again. */
#define MAX_FIELDS 64
#define MAX_LIMITS 8

struct field {
	uint32_t number;
	unsigned int wire_type;
	const uint8_t *data; /* of the value; for a length-delimited one, without its length */
	size_t length;
};

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	*value = 0;
	for (unsigned int shift = 0; *at < end && shift < 64; shift += 7) {
		const uint8_t byte = *(*at)++;

		*value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/* Reads one field and moves `at` behind it. False when the bytes are not a field. */
static bool next_field(const uint8_t **at, const uint8_t *end, struct field *field)
{
	uint64_t key, length = 0;

	if (!read_varint(at, end, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
		return false;
	field->number = key >> 3;
	field->wire_type = key & 7;
	field->data = *at;
	switch (field->wire_type) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		if (!read_varint(at, end, &length))
			return false;
		field->length = *at - field->data;
		return true;
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		length = 8;
		break;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		length = 4;
		break;
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		if (!read_varint(at, end, &length))
			return false;
		field->data = *at;
		break;
	default:
		return false;
	}
	if (length > (uint64_t)(end - *at))
		return false;
	field->length = length;
	*at += length;
	return true;
}

/* How many entries this occurrence of a repeated field adds: a packed one has any number. */
static uint64_t entries_in(const ProtobufCFieldDescriptor *descriptor, const struct field *field)
{
	uint64_t nr = 0;

	if (field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
		return 1;
	switch (descriptor->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
		return 1;
	case PROTOBUF_C_TYPE_FIXED64:
		return field->length / 8;
	case PROTOBUF_C_TYPE_FIXED32:
		return field->length / 4;
	default:
		for (size_t i = 0; i < field->length; i++)
			nr += !(field->data[i] & 0x80);
		return nr;
	}
}

/* Counts the fields of one entry. False when there are too many, or the bytes are wrong. */
static bool count_entry(const ProtobufCMessageDescriptor *descriptor, const struct field *entry,
			uint64_t *unknown)
{
	const uint8_t *at = entry->data, *const end = at + entry->length;
	struct field field;

	for (unsigned int nr = 0; at < end; nr++) {
		if (nr == MAX_FIELDS || !next_field(&at, end, &field))
			return false;
		*unknown += !protobuf_c_message_descriptor_get_field(descriptor, field.number);
	}
	return true;
}

struct count {
	uint64_t entries[MAX_LIMITS]; /* of each limit */
	uint64_t others, unknown;
};

/* Returns false when the bytes are not such a message. */
static bool count(const ProtobufCMessageDescriptor *descriptor, const uint8_t *at, size_t size,
		  const struct ccr__wire_limit *limits, size_t nr_limits, struct count *count)
{
	const uint8_t *const end = at + size;
	struct field field;

	while (at < end) {
		const ProtobufCFieldDescriptor *found;
		size_t i = 0;

		if (!next_field(&at, end, &field))
			return false;
		found = protobuf_c_message_descriptor_get_field(descriptor, field.number);
		while (found && i < nr_limits && strcmp(limits[i].field, found->name))
			i++;
		if (!found || i == nr_limits) {
			count->others++;
			continue;
		}
		count->entries[i] += entries_in(found, &field);
		if (found->type == PROTOBUF_C_TYPE_MESSAGE &&
		    (field.wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED ||
		     !count_entry(found->descriptor, &field, &count->unknown)))
			return false;
	}
	return true;
}

int ccr__image_check_wire(const ProtobufCMessageDescriptor *descriptor, const void *message,
			  size_t size, const struct ccr__wire_limit *limits, size_t nr_limits,
			  const char *name, char *error, size_t error_size)
{
	struct count found = {.others = 0};
	uint64_t entries = 0;

	if (!count(descriptor, message, size, limits, nr_limits, &found))
		return ccr__image_error(-EINVAL, error, error_size,
					"%s: message: not the protobuf message of a manifest",
					name);
	for (size_t i = 0; i < nr_limits; i++) {
		entries += found.entries[i];
		if (found.entries[i] > limits[i].max)
			return ccr__image_error(
				-EINVAL, error, error_size,
				"%s: %s has %llu entries; at most %llu are accepted", name,
				limits[i].field, (unsigned long long)found.entries[i],
				(unsigned long long)limits[i].max);
	}
	if (found.others > MAX_FIELDS || found.unknown > entries)
		return ccr__image_error(-EINVAL, error, error_size,
					"%s: message: %llu fields that this version does not know",
					name, (unsigned long long)(found.others + found.unknown));
	return 0;
}
