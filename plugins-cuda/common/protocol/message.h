// SPDX-License-Identifier: MIT
/* Sending and receiving the messages of protocol.h. */
#ifndef CCR_MESSAGE_H
#define CCR_MESSAGE_H

#include "common/protocol/protocol.h"

/* Zeroes `message` and fills its head. */
void ccr_message_init(struct ccr_message *message, enum ccr_message_type type, uint32_t operation);

/*
 * Sends one packet with `nr_fds` descriptors (which stay the caller's). 0 or
 * -errno; never raises SIGPIPE. Sends only the bytes that the type needs.
 */
int ccr_message_send(int socket, const struct ccr_message *message, const int *fds, int nr_fds);

/*
 * The same, but while the kernel has too many descriptors of this user on their
 * way (-ETOOMANYREFS), waits up to `timeout_ms` for the receiver to take some.
 */
int ccr_message_send_waiting(int socket, const struct ccr_message *message, const int *fds,
			     int nr_fds, uint32_t timeout_ms);

/*
 * Waits up to `timeout_ms` (-1: for ever) for one packet. `fds` has room for
 * CCR_HANDLES_A_MESSAGE close-on-exec descriptors, `*nr_fds` says how many came
 * (both may be NULL: any that come are closed). 0; -ETIMEDOUT; -EPIPE when the
 * peer is gone; -EPROTO for anything that is not a whole message of this
 * version (then all descriptors are closed), or another -errno.
 */
int ccr_message_receive(int socket, struct ccr_message *message, int *fds, int *nr_fds,
			int timeout_ms);

#endif
