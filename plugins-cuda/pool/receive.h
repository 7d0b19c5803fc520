// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_RECEIVE_H
#define CCR_POOL_RECEIVE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Loads the images of a directory while their stripes arrive, see control.c. Returns 0 when all
 * `nr` are resident, or -errno with `error`; then no memory is left of them.
 */
int receive_images(int socket, const char *dir, bool is_golden, size_t *nr, char *error,
		   size_t size);

#endif
