// SPDX-License-Identifier: MIT
/* The pool's side of a conversation with the service thread of the interceptor. */
#ifndef CCR_POOL_INTERCEPTOR_H
#define CCR_POOL_INTERCEPTOR_H

#include "pool/device/device.h"

struct op_socket {
	int listener;
	uint32_t operation;
	char path[108];
};
/* A fresh `op-N.sock` in the run directory. */
int op_socket_open(struct op_socket *op_socket);
void op_socket_close(struct op_socket *op_socket);
/*
 * Waits for the service thread of `pid` and its HELLO; other peers are refused
 * and logged. The connection, or -ETIMEDOUT, or -ESRCH when the process ends.
 */
int interceptor_accept(const struct op_socket *op_socket, pid_t pid, int pidfd, int timeout_ms,
		       struct ccr_message *hello);
/*
 * DEVICES up to END: `list` holds imported memory. Every message also goes to
 * `fd_backup` (-1: none). On error the text is in `error`.
 */
int interceptor_collect(int connection, uint32_t timeout_ms, int fd_backup, struct held_list *list,
			char *error, size_t size);
int interceptor_begin_evict(int connection, uint32_t operation, uint32_t timeout_ms);
int interceptor_hold(int connection, uint32_t operation);
/* After HELD, up to DONE. */
int interceptor_finish_evict(int connection, char *error, size_t size);
void interceptor_abort(int connection, uint32_t operation, int result, const char *text);
int interceptor_begin_attach(int connection, uint32_t operation, enum ccr_attach_mode mode);
int interceptor_send_held(int connection, uint32_t operation, const struct held *entries,
			  size_t nr);
/* END up to DONE. */
int interceptor_finish_attach(int connection, uint32_t operation, char *error, size_t size);

#endif
