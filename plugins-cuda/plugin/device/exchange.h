// SPDX-License-Identifier: GPL-2.0-only
/*
 * A request to the pool about custom storage of one process, and its answer. Several may be in
 * progress. While one is, the restore thread of the process must be able to run.
 */
#ifndef CCR_PLUGIN_EXCHANGE_H
#define CCR_PLUGIN_EXCHANGE_H

#include "common/protocol/protocol.h"
#include "plugin/task/state.h"

/* What the pool has said about one operation. */
struct pool_answer {
	struct pool_answer *next;
	uint32_t operation;
	bool is_accepted; /* OP_READY */
	bool is_done;	  /* OP_RESULT, or the pool has ended */
	int result;	  /* then: 0 or -errno; -EPIPE: the pool has ended, or was replaced */
	char error[256];  /* the pool's sentence about it; may be empty */
};

struct exchange {
	const struct task *task;
	struct pool_answer answer;
	unsigned int link; /* number of the connection that it went through */
	double deadline, next_look;
	bool was_accepted, was_dying;
};

/* Sends the request. A failure is found in the answer, as if the pool had refused. */
void ccr__exchange_begin(struct exchange *exchange, enum ccr_message_type type,
			 const struct task *task);
/*
 * Takes what has arrived, and resumes restore threads that a signal has stopped. True: the answer
 * has the result: 0, the pool's -errno, -EPIPE when the pool has ended or was replaced, -ETIMEDOUT
 * or -ESRCH when it is of no use to wait longer; a helper that waits for the driver is then killed.
 */
bool ccr__exchange_is_done(struct exchange *exchange);
/* Waits for that. Returns the result. */
int ccr__exchange_wait(struct exchange *exchange);
/* Nobody waits for the answer any more. */
void ccr__exchange_end(struct exchange *exchange);
/* Why it has failed: a part of a sentence. */
const char *ccr__exchange_failure(const struct exchange *exchange);

/* For pool_link.c: stores a message. Returns false if no exchange is about its operation. */
bool ccr__answers_note(const struct ccr_message *message);
/* No more messages come about what was asked on this connection. */
void ccr__answers_end(int result);
/* Whether there is an exchange whose result has not arrived. */
bool ccr__answers_are_awaited(void);

#endif
