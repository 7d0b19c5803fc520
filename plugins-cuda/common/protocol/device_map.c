// SPDX-License-Identifier: MIT
#include "common/protocol/device_map.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *ccr_uuid_parse(const char *text, uint8_t uuid[16])
{
	if (!strncmp(text, "GPU-", 4))
		text += 4;
	for (int i = 0; i < 16; i++) {
		unsigned int byte;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return NULL;
		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
		    sscanf(text, "%2x", &byte) != 1)
			return NULL;
		uuid[i] = byte;
		text += 2;
	}
	return text;
}

void ccr_uuid_format(char out[CCR_UUID_TEXT], const uint8_t uuid[16])
{
	int at = snprintf(out, CCR_UUID_TEXT, "GPU-");

	for (int i = 0; i < 16; i++)
		at += snprintf(out + at, CCR_UUID_TEXT - at, "%s%02x",
			       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

static const char *parse_pair(const char *text, struct ccr_device_pair *pair)
{
	text = ccr_uuid_parse(text, pair->from);
	if (!text || *text++ != '=')
		return NULL;
	text = ccr_uuid_parse(text, pair->to);
	return text && (*text == ',' || !*text) ? text : NULL;
}

int ccr_device_map_parse(struct ccr_device_map *map, const char *name, const char *text,
			 char *error, size_t error_size)
{
	memset(map, 0, sizeof(*map));
	while (*text) {
		const char *end = map->count < CCR_MAX_DEVICES
					  ? parse_pair(text, &map->pairs[map->count])
					  : NULL;

		if (!end) {
			snprintf(error, error_size,
				 "%s: \"%.80s\"; accepted: "
				 "GPU-<old UUID>=GPU-<new UUID>,... (%d pairs at most)",
				 name, text, CCR_MAX_DEVICES);
			return -EINVAL;
		}
		map->count++;
		text = *end ? end + 1 : end;
	}
	return 0;
}

const uint8_t *ccr_device_map_find(const struct ccr_device_map *map, const uint8_t uuid[16])
{
	for (uint32_t i = 0; i < map->count; i++)
		if (!memcmp(map->pairs[i].from, uuid, 16))
			return map->pairs[i].to;
	return uuid;
}
