// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_BACKGROUND_H
#define CCR_PLUGIN_BACKGROUND_H

/*
 * Starts `run` in a detached process; the socket to it (it sees the end of file
 * when criu ends), or -errno.
 */
int ccr__background_start(const char *name, void (*run)(int stage, int fd), int stage);

#endif
