// SPDX-License-Identifier: MIT
#ifndef CCR_UNIX_SOCKET_H
#define CCR_UNIX_SOCKET_H

#include <stddef.h>
#include <stdint.h>

/* Writes the path of an operation's socket to `out`. Returns 0, or -ENAMETOOLONG. */
int ccr_op_socket_path(char *out, size_t size, const char *run_dir, uint32_t operation);

/*
 * Create Unix sockets, close-on-exec: connect a SEQPACKET one; listen on one of
 * the `type` with mode 0600. Return the descriptor or -errno.
 */
int ccr_socket_connect(const char *path);
int ccr_socket_listen(const char *path, int type);

#endif
