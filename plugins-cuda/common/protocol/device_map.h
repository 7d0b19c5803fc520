// SPDX-License-Identifier: MIT
/* CRIU_CUDA_DEVICE_MAP: on which GPU what was on another one is restored. */
#ifndef CCR_DEVICE_MAP_H
#define CCR_DEVICE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "common/protocol/protocol.h"

/*
 * Parses "GPU-<uuid>=GPU-<uuid>,…" (the prefix may be missing, as nvidia-smi -L
 * and the driver write it). 0, or -EINVAL with a sentence that names the part
 * which is not accepted. "" gives an empty map.
 */
int ccr_device_map_parse(struct ccr_device_map *map, const char *text, char *error,
			 size_t error_size);
/* Where `uuid` goes: itself when the map does not name it. */
const uint8_t *ccr_device_map_find(const struct ccr_device_map *map, const uint8_t uuid[16]);

#endif
