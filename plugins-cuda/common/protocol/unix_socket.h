// SPDX-License-Identifier: MIT
#ifndef CCR_UNIX_SOCKET_H
#define CCR_UNIX_SOCKET_H

#include <stddef.h>
#include <stdint.h>

/* Path of the socket of an operation into `out`; 0 or -ENAMETOOLONG for a Unix address. */
int ccr_op_socket_path(char *out, size_t size, const char *run_dir, uint32_t operation);

/*
 * Unix sockets, close-on-exec: the descriptor or -errno. connect: SEQPACKET;
 * listen: of a `type`, and 0600.
 */
int ccr_socket_connect(const char *path);
int ccr_socket_listen(const char *path, int type);

#endif
