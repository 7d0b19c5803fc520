// SPDX-License-Identifier: MIT
#ifndef POOL_PEER_H
#define POOL_PEER_H

#include <stdbool.h>

/* How long a client may take for its first message, for the rest of a line, and to read an answer.
 */
#define PEER_TIMEOUT_MS 10000

/* Keeps the descriptors that the next look at a client needs. One thread looks at clients. */
void peer_keep_room(void);

/*
 * Whether the process that connected may be served: it is root or the daemon's own user, in the
 * daemon's own user namespace. Where it is not, or where its namespace cannot be seen, the reason
 * is logged. Mount and PID namespaces may differ.
 */
bool peer_is_allowed(int socket);

/* Whether the peer sends something, or hangs up, in time. Logs that it did not. */
bool peer_speaks(int socket, int timeout_ms);

#endif
