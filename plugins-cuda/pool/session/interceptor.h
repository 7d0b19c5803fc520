// SPDX-License-Identifier: MIT
/* The pool's side of the connection to the interceptor's service thread. */
#ifndef CCR_POOL_INTERCEPTOR_H
#define CCR_POOL_INTERCEPTOR_H

#include "pool/device/device.h"

struct op_socket {
	int listener;
	uint32_t operation;
	char path[108];
};
/* Creates `op-N.sock` in the run directory, with an unused N. Returns 0 or -errno. */
int op_socket_open(struct op_socket *op_socket);
void op_socket_close(struct op_socket *op_socket);
/*
 * Waits for the service thread of `pid` and its HELLO; other peers are refused
 * and logged. Returns the connection, or -ETIMEDOUT, or -ESRCH when the process
 * ends.
 */
int interceptor_accept(const struct op_socket *op_socket, pid_t pid, int pidfd, int timeout_ms,
		       struct ccr_message *hello);
/*
 * Receives DEVICES up to END and imports the memory into `list`. Every message
 * is also sent to `fd_backup` (-1: none). Returns 0, or -errno with `error`.
 */
int interceptor_collect(int connection, uint32_t timeout_ms, int fd_backup, struct held_list *list,
			char *error, size_t size);
int interceptor_begin_evict(int connection, uint32_t operation, uint32_t timeout_ms);
int interceptor_hold(int connection, uint32_t operation);
/* Completes an evict: from HELD to DONE. */
int interceptor_finish_evict(int connection, char *error, size_t size);
void interceptor_abort(int connection, uint32_t operation, int result, const char *text);
int interceptor_begin_attach(int connection, uint32_t operation, enum ccr_attach_mode mode);
int interceptor_send_held(int connection, uint32_t operation, const struct held *entries,
			  size_t nr);
/* Completes an attach: from END to DONE. */
int interceptor_finish_attach(int connection, uint32_t operation, char *error, size_t size);

#endif
