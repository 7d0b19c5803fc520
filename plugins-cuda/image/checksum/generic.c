// SPDX-License-Identifier: MIT
#define VARIANT ccr__checksum_generic
#include "image/checksum/checksum_variant.h"
