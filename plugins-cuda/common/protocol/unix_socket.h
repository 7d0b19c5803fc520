// SPDX-License-Identifier: MIT
#ifndef CCR_UNIX_SOCKET_H
#define CCR_UNIX_SOCKET_H

/*
 * Create Unix sockets, close-on-exec: connect a SEQPACKET one; listen on one of
 * the `type` with mode 0600. Return the descriptor or -errno.
 */
int ccr_socket_connect(const char *path);
int ccr_socket_listen(const char *path, int type);

#endif
