// SPDX-License-Identifier: MIT
/* Serves request lines from standard input or from clients of a socket. */
#ifndef CCR_WORKLOADS_SERVE_H
#define CCR_WORKLOADS_SERVE_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the answer to a request, both without newline. False after `quit`. */
typedef bool serve_answer(const char *request, char *reply, size_t size);

/*
 * Without a path: says "ready pid=N" and serves standard input to its end. With one:
 * serves the clients of a socket there, one after the other, until `quit`. `reply` is
 * room for an answer. Returns 0, or -1 with errno if there is no socket.
 */
int serve_requests(const char *socket_path, serve_answer *answer, char *reply, size_t size);

#endif
