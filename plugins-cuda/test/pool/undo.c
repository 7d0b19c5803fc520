// SPDX-License-Identifier: MIT
/*
 * Description: the gates of a group open together when a dump is undone, and another pool decides
 * the same for all members whose memory was placed when the first one was lost.
 */
#include "test/pool/session_test.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Two members, A and B. */
#define A 20
#define B 21

static void give_memory(uint32_t operation, int application)
{
	request(CCR_MSG_OP_DUMP, operation, -1);
	expect_reply(CCR_MSG_OP_READY, operation, 0);
	hear(application, CCR_MSG_EVICT);
	say(application, CCR_MSG_END, 0);
	hear(application, CCR_MSG_HELD);
	say(application, CCR_MSG_DONE, 0);
	expect_reply(CCR_MSG_OP_HELD, operation, 0);
	expect_reply(CCR_MSG_OP_RESULT, operation, 0);
	close(application);
}

static void dump_both(void)
{
	int a, b;

	timeout_ms = LONG_MS;
	session_begin();
	join(A, &a, CCR_PROTOCOL_VERSION);
	join(B, &b, CCR_PROTOCOL_VERSION);
	request(CCR_MSG_OP_QUIESCE, 0, -1);
	hear_quiesce(a);
	hear_quiesce(b);
	say_quiet(a, 0);
	say_quiet(b, 0);
	shares_nothing(b);
	shares_nothing(a);
	expect_reply(CCR_MSG_OP_QUIET, 0, 0);
	give_memory(A, a);
	give_memory(B, b);
}

/* Up to END: all of it is there. */
static void take_memory(int application)
{
	struct ccr_message m;

	CHECK(!ccr_message_receive(application, &m, NULL, NULL, WAIT_MS));
	CHECK(m.type == CCR_MSG_ATTACH && m.attach.mode & CCR_ATTACH_GROUP);
	hear(application, CCR_MSG_END);
}

static void roll_back(uint32_t operation, int *application)
{
	request(CCR_MSG_OP_ROLL_BACK, operation, connect_to(application));
	say(*application, CCR_MSG_HELLO, CCR_SERVICE_EVICTED);
	take_memory(*application);
}

static void opens(uint32_t operation, int application)
{
	hear(application, CCR_MSG_OPEN);
	say(application, CCR_MSG_DONE, 0);
	expect_reply(CCR_MSG_OP_GIVEN, operation, 0);
	close(application);
}

static void opens_together(void)
{
	int a, b;

	dump_both();
	roll_back(A, &a);
	say(a, CCR_MSG_PLACED, 0);
	roll_back(B, &b);
	CHECK(is_silent(a));
	say(b, CCR_MSG_PLACED, 0);
	opens(A, a);
	opens(B, b);
	session_finish();
}

/* The others do not wait for one that has ended, however often it is said. */
static void does_without(bool is_told_twice)
{
	int a;

	dump_both();
	roll_back(A, &a);
	say(a, CCR_MSG_PLACED, 0);
	request(CCR_MSG_OP_COMMIT, B, -1);
	if (is_told_twice)
		request(CCR_MSG_OP_COMMIT, B, -1);
	opens(A, a);
	session_finish();
}

/* One that ended before anyone asked is not waited for either. */
static void ended_before(void)
{
	int a;

	dump_both();
	request(CCR_MSG_OP_COMMIT, B, -1);
	roll_back(A, &a);
	say(a, CCR_MSG_PLACED, 0);
	opens(A, a);
	session_finish();
}

static void send_type(enum ccr_message_type type, uint32_t operation)
{
	struct ccr_message message;

	ccr_message_init(&message, type, operation);
	send_to_session(&message);
}

/* In another pool. */
static void reclaim(uint32_t operation, int *application)
{
	request_in_group(CCR_MSG_OP_RECLAIM, operation, connect_to(application), 2);
	send_type(CCR_MSG_END, operation);
	expect_reply(CCR_MSG_OP_READY, operation, 0);
}

/* The first pool was lost between two OPEN. */
static void one_runs(void)
{
	int a, b;

	session_begin();
	reclaim(A, &a);
	reclaim(B, &b);
	say(a, CCR_MSG_HELLO, CCR_SERVICE_PLACED);
	say(b, CCR_MSG_HELLO, CCR_SERVICE_RESIDENT);
	hear(b, CCR_MSG_ABORT);
	expect_reply(CCR_MSG_OP_GIVEN, B, 0);
	opens(A, a);
	close(b);
	session_finish();
}

/* ... before the first OPEN. */
static void both_wait(void)
{
	int a, b;

	session_begin();
	reclaim(A, &a);
	reclaim(B, &b);
	say(a, CCR_MSG_HELLO, CCR_SERVICE_PLACED);
	CHECK(is_silent(a));
	say(b, CCR_MSG_HELLO, CCR_SERVICE_PLACED);
	opens(A, a);
	opens(B, b);
	session_finish();
}

/* criu and its watcher have both asked for the first: the second is still waited for. */
static void asked_twice(void)
{
	int a, again, b;

	session_begin();
	reclaim(A, &a);
	reclaim(A, &again);
	say(a, CCR_MSG_HELLO, CCR_SERVICE_PLACED);
	CHECK(is_silent(a));
	reclaim(B, &b);
	say(b, CCR_MSG_HELLO, CCR_SERVICE_PLACED);
	opens(A, a);
	opens(B, b);
	close(again);
	session_finish();
}

/* What was refused is refused again: nobody would return the memory that is said to be ready. */
static void refused_twice(void)
{
	int a, again;

	session_begin();
	request_in_group(CCR_MSG_OP_RECLAIM, A, connect_to(&a), 1);
	send_type(CCR_MSG_DONE, A);
	expect_reply(CCR_MSG_OP_RESULT, A, -EPROTO);
	request_in_group(CCR_MSG_OP_RECLAIM, A, connect_to(&again), 1);
	send_type(CCR_MSG_END, A);
	expect_reply(CCR_MSG_OP_RESULT, A, -ENODATA);
	close(a);
	close(again);
	session_finish();
}

/* ... before the last PLACED: then none runs, and all begin again. */
static void one_has_nothing(bool is_first)
{
	int a, b;

	session_begin();
	reclaim(A, &a);
	reclaim(B, &b);
	if (is_first)
		say(b, CCR_MSG_HELLO, CCR_SERVICE_EVICTED);
	say(a, CCR_MSG_HELLO, CCR_SERVICE_PLACED);
	if (!is_first)
		say(b, CCR_MSG_HELLO, CCR_SERVICE_EVICTED);
	take_memory(a);
	take_memory(b);
	say(b, CCR_MSG_PLACED, 0);
	say(a, CCR_MSG_PLACED, 0);
	opens(A, a);
	opens(B, b);
	session_finish();
}

/* All others were given theirs by the first pool, which has said so. */
static void last_one(void)
{
	int a;

	session_begin();
	request_in_group(CCR_MSG_OP_RECLAIM, A, connect_to(&a), 1);
	send_type(CCR_MSG_END, A);
	expect_reply(CCR_MSG_OP_READY, A, 0);
	say(a, CCR_MSG_HELLO, CCR_SERVICE_PLACED);
	opens(A, a);
	session_finish();
}

int main(void)
{
	opens_together();
	does_without(false);
	does_without(true);
	ended_before();
	one_runs();
	both_wait();
	asked_twice();
	refused_twice();
	one_has_nothing(false);
	one_has_nothing(true);
	last_one();
	return failures + session_failures() ? 1 : 0;
}
