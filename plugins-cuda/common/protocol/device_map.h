// SPDX-License-Identifier: MIT
/* CRIU_CUDA_DEVICE_MAP and --device-map: to which GPU the memory of another GPU is restored. */
#ifndef CCR_DEVICE_MAP_H
#define CCR_DEVICE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "common/protocol/protocol.h"

/* Parses 8-4-4-4-12 hexadecimal digits, behind "GPU-" or not. Returns the rest of the text, or NULL
 * if there is no UUID. */
const char *ccr_uuid_parse(const char *text, uint8_t uuid[16]);
/* GPU-, 36 characters, NUL. */
#define CCR_UUID_TEXT 41
/* Writes it as nvidia-smi -L prints it. */
void ccr_uuid_format(char out[CCR_UUID_TEXT], const uint8_t uuid[16]);
/*
 * Parses "GPU-<uuid>=GPU-<uuid>,..."; the prefix, which nvidia-smi -L prints, may
 * be missing. "" gives an empty map. Returns 0, or -EINVAL with a sentence in
 * `error` that begins with `name`, the option or setting, and names the part that
 * is not accepted.
 */
int ccr_device_map_parse(struct ccr_device_map *map, const char *name, const char *text,
			 char *error, size_t error_size);
/* Returns the new UUID of `uuid`: itself when the map does not name it. */
const uint8_t *ccr_device_map_find(const struct ccr_device_map *map, const uint8_t uuid[16]);

#endif
