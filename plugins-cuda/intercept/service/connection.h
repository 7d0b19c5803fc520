// SPDX-License-Identifier: MIT
#ifndef CCR_INTERCEPT_CONNECTION_H
#define CCR_INTERCEPT_CONNECTION_H

#include "common/protocol/protocol.h"
#include "intercept/core/real.h"

/* A connection to the pool, for one operation. */
struct ccr__connection {
	int socket;
	uint32_t operation;
	bool is_sharing_known; /* the pool knows what the program shares with other processes */
	struct ccr_message message; /* the last one that was received, or the next one to send */
};

/* Tells the pool what failed, with a CUDA result if there is one. */
void ccr__connection_fail(struct ccr__connection *connection, int error, CUresult result,
			  const char *what);
/* The same for a connection that stays. Returns 0 or -errno. */
int ccr__connection_say_failed(struct ccr__connection *connection, int error, CUresult result,
			       const char *what);

#endif
