// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_READAHEAD_H
#define CCR_PLUGIN_READAHEAD_H

/* Restore, at init: starts to read ahead the page files of the images directory, if on a disk. */
void ccr__readahead_start(int dirfd);

#endif
