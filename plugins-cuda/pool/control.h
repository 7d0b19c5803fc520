// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_CONTROL_H
#define CCR_POOL_CONTROL_H

#include <stddef.h>

/* Gives up on a client that does not read. */
void control_send(int socket, const char *text, size_t size);
/* Serves one client of the control socket; closes `socket`. */
void control_run(int socket);

#endif
