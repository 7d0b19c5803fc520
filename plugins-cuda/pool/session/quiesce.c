// SPDX-License-Identifier: MIT
/*
 * Work of one process may wait for work that another has not launched yet, as in a
 * collective of NCCL. Gates that were closed one after the other would then stay as
 * they are: one process is quiet, and the other's work does not end. So when some
 * members are quiet and others are not, the gates of the quiet ones are opened for a
 * moment: they launch what the others wait for. If that makes them busy, they are waited for
 * in turn. Both the time until gates are opened and the moment grow with the time that has
 * passed, because work may also take long by itself, and then nothing is to be launched
 * meanwhile.
 */
#include "pool/session/quiesce.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol/message.h"
#include "pool/session/op_process.h"

/* A service thread reads its next message after this time at the latest. */
#define STEP_MS 20
/* How long the gates stay closed, and then open, at first. */
#define CLOSED_MS 10.0
#define OPEN_MS	  1.0

struct member {
	struct op_process *process;
	bool is_quiet, wants_open;
	bool is_asked;						     /* it owes an answer */
	char why[sizeof(((struct ccr_message *)NULL)->failed.text)]; /* it is not quiet */
};

struct quiesce {
	struct session *session;
	struct member *members;
	size_t nr;
	double start, deadline;
	double phase_end; /* of the time in which all are closed, or some are open */
	bool are_some_open;
	uint32_t round;
	char *error;
	size_t error_size;
};

static int fail(const struct quiesce *q, const struct member *member, int ret, const char *why)
{
	snprintf(q->error, q->error_size, "%d: %s", member->process->pid, why);
	return ret;
}

static size_t nr_quiet(const struct quiesce *q)
{
	size_t nr = 0;

	for (size_t i = 0; i < q->nr; i++)
		nr += q->members[i].is_quiet;
	return nr;
}

static int ask(const struct quiesce *q, struct member *member)
{
	struct ccr_message message;
	int ret;

	if (member->is_asked)
		return 0;
	ccr_message_init(&message, member->wants_open ? CCR_MSG_OPEN : CCR_MSG_QUIESCE,
			 member->process->number);
	if (!member->wants_open)
		message.evict.timeout_ms = STEP_MS;
	member->is_asked = true;
	member->is_quiet = false;
	ret = ccr_message_send(member->process->connection, &message, NULL, 0);
	return ret ? fail(q, member, ret, "lost the connection to its service thread") : 0;
}

/* Stores an answer, and asks for what is wanted next. */
static int hear(const struct quiesce *q, struct member *member)
{
	struct ccr_message message;
	const int ret = ccr_message_receive(member->process->connection, &message, NULL, NULL, 0);
	char text[320];

	if (ret)
		return fail(q, member, ret, "lost the connection to its service thread");
	if (message.type == CCR_MSG_FAILED) {
		snprintf(text, sizeof(text), "%.250s (%s)", message.failed.text,
			 ccr_cuda_error_name(message.failed.cu_result));
		return fail(q, member, message.result ? message.result : -EIO, text);
	}
	if (message.type != CCR_MSG_QUIET && message.type != CCR_MSG_DONE)
		return fail(q, member, -EPROTO, "its service thread is out of order");
	member->is_asked = false;
	member->is_quiet = message.type == CCR_MSG_QUIET && !message.result && !member->wants_open;
	if (message.type == CCR_MSG_QUIET && message.result)
		snprintf(member->why, sizeof(member->why), "%s", message.failed.text);
	/* An open gate stays open until the time is over. */
	if (member->is_quiet || (message.type == CCR_MSG_DONE && member->wants_open))
		return 0;
	return ask(q, member);
}

static int open_some(struct quiesce *q)
{
	static const double parts[] = {0.25, 1, 0.5, 2}; /* so that no rhythm is met */
	const bool are_all_busy = !nr_quiet(q);
	const double passed = now_ms() - q->start;
	int ret = 0;

	for (size_t i = 0; i < q->nr && !ret; i++) {
		struct member *member = &q->members[i];

		member->wants_open = member->is_quiet || are_all_busy;
		if (member->wants_open)
			ret = ask(q, member);
	}
	q->are_some_open = true;
	q->phase_end = now_ms() + parts[q->round++ % 4] * (OPEN_MS + passed / 100) +
		       (are_all_busy ? STEP_MS : 0);
	return ret;
}

static int close_all(struct quiesce *q)
{
	int ret = 0;

	for (size_t i = 0; i < q->nr && !ret; i++) {
		struct member *member = &q->members[i];

		member->wants_open = false;
		if (!member->is_quiet)
			ret = ask(q, member);
	}
	q->are_some_open = false;
	q->phase_end = now_ms() + CLOSED_MS + (now_ms() - q->start) / 8;
	return ret;
}

/* What had to wait for the open ones has ended. */
static bool are_others_quiet(const struct quiesce *q)
{
	size_t nr_open = 0;

	for (size_t i = 0; i < q->nr; i++)
		nr_open += q->members[i].wants_open;
	return nr_open < q->nr && nr_quiet(q) + nr_open == q->nr;
}

/* While all are busy, they most likely wait for their devices, not for each other. */
static bool is_time_to_open(const struct quiesce *q)
{
	const double limit = q->deadline - q->start;
	const double extra = nr_quiet(q) ? 0 : limit / 4;

	return now_ms() >= q->phase_end + extra;
}

static int wait_for_answers(struct quiesce *q)
{
	struct pollfd *pollers = calloc(q->nr + 1, sizeof(*pollers));
	double left = (q->phase_end < q->deadline ? q->phase_end : q->deadline) - now_ms();
	int ret = pollers ? 0 : -ENOMEM;

	if (left < 0) /* until all are quiet, or it is time to open */
		left = STEP_MS;
	for (size_t i = 0; !ret && i < q->nr; i++)
		pollers[i] =
			(struct pollfd){.fd = q->members[i].process->connection, .events = POLLIN};
	if (!ret) {
		pollers[q->nr] = (struct pollfd){.fd = q->session->socket, .events = POLLIN};
		poll(pollers, q->nr + 1, (int)left + 1);
	}
	for (size_t i = 0; !ret && i < q->nr; i++)
		if (pollers[i].revents)
			ret = hear(q, &q->members[i]);
	if (!ret && pollers[q->nr].revents) { /* criu has ended: its watcher asks now */
		snprintf(q->error, q->error_size, "another request came");
		ret = -ECANCELED;
	}
	free(pollers);
	return ret;
}

/* Names the first that is not quiet. */
static int time_out(const struct quiesce *q, uint32_t timeout_ms)
{
	const struct member *busy = q->members;

	while (busy->is_quiet)
		busy++;
	snprintf(q->error, q->error_size,
		 "%d: %s, within CRIU_CUDA_LOCK_TIMEOUT_MS = %u; %zu of %zu processes of its tree "
		 "are quiet; all run on",
		 busy->process->pid, *busy->why ? busy->why : "it does not answer", timeout_ms,
		 nr_quiet(q), q->nr);
	return -ETIMEDOUT;
}

static int quiesce(struct quiesce *q, uint32_t timeout_ms)
{
	int ret = close_all(q);

	while (!ret && nr_quiet(q) < q->nr) {
		if (now_ms() >= q->deadline)
			return time_out(q, timeout_ms);
		ret = wait_for_answers(q);
		if (ret)
			break;
		if (q->are_some_open)
			ret = now_ms() >= q->phase_end || are_others_quiet(q) ? close_all(q) : 0;
		else if (nr_quiet(q) < q->nr && is_time_to_open(q))
			ret = open_some(q);
	}
	return ret;
}

/* Their threads were told to connect just before. */
static int hear_hello(const struct quiesce *q, uint32_t timeout_ms)
{
	for (size_t i = 0; i < q->nr; i++) {
		const struct member *member = &q->members[i];
		struct op_process *process = member->process;
		struct ccr_message hello;
		const int ret = interceptor_wait_hello(process->connection, process->pidfd,
						       timeout_ms, &hello);

		if (ret)
			return fail(q, member, ret,
				    "its service thread does not answer within "
				    "CRIU_CUDA_LOCK_TIMEOUT_MS");
		process->protocol = hello.version;
		if (hello.version < CCR_PROTOCOL_GROUPS)
			return fail(q, member, -EPROTONOSUPPORT, "its interceptor knows no groups");
	}
	return 0;
}

static int find_members(struct quiesce *q)
{
	size_t nr = 0;

	for (struct op_process *p = q->session->processes; p; p = p->next)
		nr += p->is_member;
	q->members = calloc(nr, sizeof(*q->members));
	if (!nr || !q->members)
		return nr ? -ENOMEM : -ENOENT;
	for (struct op_process *p = q->session->processes; p; p = p->next)
		if (p->is_member)
			q->members[q->nr++].process = p;
	return 0;
}

void op_join(struct session *session, const struct ccr_message *request)
{
	struct op_process *process = op_process_new(session, request);

	if (!process) {
		session_reply(session, CCR_MSG_OP_RESULT, request->operation, -ESRCH,
			      "the process is gone, or its service thread is not connected");
		return;
	}
	process->is_member = true;
	process->is_kept = true;
	session_reply(session, CCR_MSG_OP_READY, process->number, 0, NULL);
}

void op_quiesce(struct session *session, const struct ccr_message *request)
{
	const uint32_t timeout_ms = request->op.timeout_ms;
	char error[384] = "";
	struct quiesce q = {
		.session = session,
		.start = now_ms(),
		.deadline = now_ms() + timeout_ms,
		.error = error,
		.error_size = sizeof(error),
	};
	int ret = find_members(&q);

	if (!ret)
		ret = hear_hello(&q, timeout_ms);
	if (!ret)
		ret = quiesce(&q, timeout_ms);
	if (!ret)
		ret = sharing_find(session, timeout_ms, error, sizeof(error));
	ccr_status_add(&session->status,
		       "{\"event\":\"quiesce\",\"result\":%d,\"processes\":%zu,\"opened\":%u,"
		       "\"ms\":%.3f}",
		       ret, q.nr, q.round, now_ms() - q.start);
	for (size_t i = 0; i < q.nr; i++)
		if (ret)
			op_process_forget(q.members[i].process);
		else
			q.members[i].process->is_quiet = true;
	free(q.members);
	if (ret && !*error)
		snprintf(error, sizeof(error), "%s", strerror(-ret));
	session_reply(session, ret ? CCR_MSG_OP_RESULT : CCR_MSG_OP_QUIET, request->operation, ret,
		      error);
}
