// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_BACKGROUND_H
#define CCR_PLUGIN_BACKGROUND_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Starts `run` in a detached process and stores its pid in `pid` (NULL: not
 * wanted). Returns the socket to it, or -errno; the process sees the end of file
 * on its end when criu ends.
 */
int ccr__background_start(const char *name, void (*run)(int stage, int fd), int stage, pid_t *pid);

/* In a child: closes all descriptors from `first` to `last`. */
void ccr__close_range(unsigned int first, unsigned int last);

/* Zeroed memory that criu and the processes started after it share. Returns NULL, with errno. */
void *ccr__background_memory(size_t size);

#endif
