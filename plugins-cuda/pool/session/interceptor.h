// SPDX-License-Identifier: MIT
/* The pool's side of the connection to the interceptor's service thread. */
#ifndef CCR_POOL_INTERCEPTOR_H
#define CCR_POOL_INTERCEPTOR_H

#include "pool/device/device.h"

struct op_process;

/*
 * Waits up to `timeout_ms` (-1: forever) for HELLO. Returns 0, -ETIMEDOUT, -ESRCH
 * when the process ends, or another -errno.
 */
int interceptor_wait_hello(int connection, int pidfd, int timeout_ms, struct ccr_message *hello);
/*
 * Receives DEVICES up to END and imports the memory into `list`. Every message
 * is also sent to `fd_backup` (-1: none), as of this operation. With `reclaimed`, from a
 * backup, which also has SHARED. Returns 0, or -errno with `error`.
 */
int interceptor_collect(int connection, uint32_t operation, uint32_t timeout_ms, int fd_backup,
			struct held_list *list, struct op_process *reclaimed, char *error,
			size_t size);
int interceptor_begin_evict(int connection, uint32_t operation, uint32_t timeout_ms);
int interceptor_hold(int connection, uint32_t operation);
/*
 * Completes an evict: from HELD to DONE. On failure `is_kept` tells whether the process
 * has said that it kept its memory; otherwise nobody knows.
 */
int interceptor_finish_evict(int connection, uint32_t timeout_ms, bool *is_kept, char *error,
			     size_t size);
/*
 * The evict of a quiet process has failed before it released anything. Returns 0 when its thread
 * has said that the gate is still closed, or -errno: it is open, or opens with the end of the
 * connection.
 */
int interceptor_keep_quiet(int connection, uint32_t operation, uint32_t timeout_ms, int result,
			   const char *text);
/* Describes an unexpected message, or the lack of one, in `error`. Returns -errno. */
int interceptor_unexpected(const struct ccr_message *message, int ret, char *error, size_t size);
void interceptor_abort(int connection, uint32_t operation, int result, const char *text);
/* `mode`: enum ccr_attach_mode, CCR_ATTACH_GROUP. */
int interceptor_begin_attach(int connection, uint32_t operation, uint32_t mode);
int interceptor_send_held(int connection, uint32_t operation, const struct held *entries,
			  size_t nr);
/* Completes an attach: from END to DONE. */
int interceptor_finish_attach(int connection, uint32_t operation, char *error, size_t size);
/* The same of a group: from END to PLACED, and then from OPEN to DONE. */
int interceptor_finish_place(int connection, uint32_t operation, char *error, size_t size);
int interceptor_open(int connection, uint32_t operation, char *error, size_t size);

#endif
