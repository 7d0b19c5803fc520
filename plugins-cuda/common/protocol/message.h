// SPDX-License-Identifier: MIT
/* Sending and receiving the messages of protocol.h. */
#ifndef CCR_MESSAGE_H
#define CCR_MESSAGE_H

#include "common/protocol/protocol.h"

/* Zeroes `message` and fills in its header. */
void ccr_message_init(struct ccr_message *message, enum ccr_message_type type, uint32_t operation);

/* Returns the bytes of a message that are sent. */
size_t ccr_message_size(const struct ccr_message *message);

/*
 * Sends one packet with `nr_fds` descriptors, which the caller still owns. Sends
 * only the bytes that the type needs, and never raises SIGPIPE. Returns 0 or
 * -errno.
 */
int ccr_message_send(int socket, const struct ccr_message *message, const int *fds, int nr_fds);

/*
 * The same, but waits up to `timeout_ms` for the receiver while the kernel has too
 * many descriptors of this user in flight (-ETOOMANYREFS).
 */
int ccr_message_send_waiting(int socket, const struct ccr_message *message, const int *fds,
			     int nr_fds, uint32_t timeout_ms);

/*
 * Waits up to `timeout_ms` (-1: forever) for one packet. `fds` has room for
 * CCR_HANDLES_A_MESSAGE close-on-exec descriptors, `*nr_fds` is set to how many
 * came; both may be NULL, then all that come are closed. Returns 0; -ETIMEDOUT;
 * -EPIPE when the peer has ended; -EPROTO, with all descriptors closed, for
 * anything but a complete message of a version that we understand; or another -errno.
 */
int ccr_message_receive(int socket, struct ccr_message *message, int *fds, int *nr_fds,
			int timeout_ms);

#endif
