// SPDX-License-Identifier: MIT
#ifndef CCR_SYNC_H
#define CCR_SYNC_H

#include <stdbool.h>

#include "common/settings/settings.h"

/*
 * True when files in the directory `dirfd` are written only once fsync has
 * returned: always with CCR_SYNC_ON, and with CCR_SYNC_AUTO unless the file
 * system keeps them in memory.
 */
bool ccr_sync_wanted(long sync, int dirfd);

#endif
