// SPDX-License-Identifier: MIT
/* Closes the gates of several processes, so that nothing runs in any of them. */
#ifndef CCR_POOL_QUIESCE_H
#define CCR_POOL_QUIESCE_H

#include "pool/session/session.h"

/*
 * OP_JOIN, OP_QUIESCE: a process becomes a member of the session's group; the gates of all
 * members are closed, and nothing runs on their devices, or all are open and no process is a
 * member any more. The OP_DUMP of a member continues on its connection, and what ends that
 * connection, OP_ROLL_BACK or the end of the session, opens its gate.
 */
void op_join(struct session *session, const struct ccr_message *request);
void op_quiesce(struct session *session, const struct ccr_message *request);

#endif
