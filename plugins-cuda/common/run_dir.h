// SPDX-License-Identifier: MIT
/*
 * The run directory holds the sockets and status files of one user. Their content is believed, so
 * the directory must belong to root or to the caller, and nobody else may write to it.
 * These functions print nothing; any thread may call them.
 */
#ifndef CCR_RUN_DIR_H
#define CCR_RUN_DIR_H

#include <stddef.h>

/*
 * Opens the directory; a symbolic link is not followed. Returns a descriptor, -EPERM when it cannot
 * be trusted, or another -errno. On failure `why` (of `size` bytes) has the reason, with a remedy
 * for -EPERM.
 */
int ccr_run_dir_open(const char *path, char *why, size_t size);

/* The same, and creates the directory with mode 0700 if nothing is there. */
int ccr_run_dir_make(const char *path, char *why, size_t size);

/*
 * Connects to the SEQPACKET socket `name` in the directory. The socket must pass the same checks as
 * the directory. Returns a descriptor or -errno, with `why` as above.
 */
int ccr_run_dir_connect(const char *path, const char *name, char *why, size_t size);

#endif
