// SPDX-License-Identifier: MIT
#define VARIANT ccr__checksum_avx512
#include "image/checksum/checksum_variant.h"
