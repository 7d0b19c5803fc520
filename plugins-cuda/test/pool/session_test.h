// SPDX-License-Identifier: MIT
/*
 * For tests of a session of the pool, in a thread of this process. The test is criu, and the
 * service threads of applications: this process is each of them.
 */
#ifndef CCR_SESSION_TEST_H
#define CCR_SESSION_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/protocol/message.h"
#include "test/check.h"

#define TIMEOUT_MS 300
#define LONG_MS	   60000
#define WAIT_MS	   60000

extern uint32_t timeout_ms; /* of the requests; TIMEOUT_MS at first */

void session_begin(void);
/* criu and its watcher have ended. */
void session_finish(void);
/* Removes the images. Returns how many checks of the functions below have failed. */
int session_failures(void);

/* `pidfd` and `connection` (-1: none) are closed here, as the plugin does. */
void request_for(pid_t pid, int pidfd, enum ccr_message_type type, uint32_t operation,
		 int connection);
void request(enum ccr_message_type type, uint32_t operation, int connection);
/* As part of a group of so many. */
void request_in_group(enum ccr_message_type type, uint32_t operation, int connection, uint32_t nr);
/* Sends something else to the session. */
void send_to_session(const struct ccr_message *message);
void expect_reply(enum ccr_message_type type, uint32_t operation, int result);

/* Returns the pool's end; `*application` is that of the service thread. */
int connect_to(int *application);
void say(int application, enum ccr_message_type type, uint32_t state);
void hear(int application, enum ccr_message_type type);
/* Nothing is there to hear, and the connection has not ended. */
bool is_silent(int application);

/* A member of a group, whose gate is to be closed. */
void join(uint32_t operation, int *application, uint32_t version);
/* Returns how many calls pass the gate. */
uint32_t hear_quiesce(int application);
void say_quiet(int application, int result);
/* When all are quiet, each is asked what it shares: the last one first. */
void shares_nothing(int application);
/* The end of its connection opens its gate. */
void gate_opens(int application);

#endif
