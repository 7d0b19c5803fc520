// SPDX-License-Identifier: MIT
#ifndef CCR_UNIX_SOCKET_H
#define CCR_UNIX_SOCKET_H

#include <stdbool.h>

/*
 * Create Unix sockets, close-on-exec: connect a SEQPACKET one; listen on one of
 * the `type` with mode 0600. Return the descriptor or -errno.
 */
int ccr_socket_connect(const char *path);
int ccr_socket_listen(const char *path, int type);

/* True for a Unix SEQPACKET socket; a descriptor of another process may be anything. */
bool ccr_socket_is_seqpacket(int fd);

#endif
