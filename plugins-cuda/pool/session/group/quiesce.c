// SPDX-License-Identifier: MIT
/*
 * Work of one process may wait for work that another has not launched yet, as in a
 * collective of NCCL: when the gates close, one process is quiet, and the work of
 * another does not end. Opening a gate for a while would only turn them around, because a
 * program launches faster than anyone can look. So the quiet ones make one call at a time behind
 * their closed gates, until the others are quiet too. If many have no effect, it is more
 * than one. In the second half of the time no call is let through: work may also take long
 * by itself, and then nothing more should be launched.
 */
#include "pool/session/group/quiesce.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol/message.h"
#include "pool/session/op_process.h"

/* How long a service thread waits before it answers, and then if it was busy. */
#define FIRST_MS 10
#define STEP_MS	 50
/* After what a call has launched: the work that waits for it ends meanwhile, and is seen to. */
#define PAUSE_MS     1.0
#define MAX_PAUSE_MS 100.0
/* So many steps without an effect, then twice as many calls in each. */
#define NR_STEPS  32
#define MAX_CALLS 64
/* All are busy: most likely with their devices, but calls of theirs may wait for each other. */
#define ALL_BUSY_MS 200.0

struct member {
	struct op_process *process;
	bool is_asked; /* it owes an answer */
	bool is_quiet, was_busy;
	uint32_t calls; /* that pass with the next question */
	char why[sizeof(((struct ccr_message *)NULL)->failed.text)]; /* it is not quiet */
};

struct quiesce {
	struct session *session;
	struct member *members;
	size_t nr;
	double start, deadline, next_step, pause;
	uint32_t calls, nr_steps; /* of one step; steps without an effect */
	uint32_t nr_calls;	  /* in total, for the status file */
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

static int ask(struct quiesce *q, struct member *member)
{
	struct ccr_message message;
	int ret;

	ccr_message_init(&message, CCR_MSG_QUIESCE, member->process->number);
	message.quiesce.timeout_ms = member->was_busy ? STEP_MS : FIRST_MS;
	message.quiesce.calls = member->calls;
	q->nr_calls += member->calls;
	member->calls = 0;
	member->is_asked = true;
	member->is_quiet = false;
	ret = ccr_message_send(member->process->connection, &message, NULL, 0);
	return ret ? fail(q, member, ret, "lost the connection to its service thread") : 0;
}

/* The next step begins a while after the last answer. */
static int note_answer(struct quiesce *q, struct member *member, const struct ccr_message *message)
{
	q->next_step = now_ms() + q->pause;
	member->is_asked = false;
	member->is_quiet = !message->result;
	if (message->result) {
		member->was_busy = true;
		snprintf(member->why, sizeof(member->why), "%s", message->failed.text);
		return ask(q, member);
	}
	if (member->was_busy) { /* what it has waited for is there */
		q->calls = 1;
		q->nr_steps = 0;
		q->pause = q->pause < MAX_PAUSE_MS ? q->pause * 1.1 : q->pause;
	}
	member->was_busy = false;
	return 0;
}

static int hear(struct quiesce *q, struct member *member)
{
	struct ccr_message message;
	const int ret = ccr_message_receive(member->process->connection, &message, NULL, NULL, 0);
	char text[320];

	if (ret)
		return fail(q, member, ret, "lost the connection to its service thread");
	if (message.type == CCR_MSG_QUIET)
		return note_answer(q, member, &message);
	if (message.type != CCR_MSG_FAILED)
		return fail(q, member, -EPROTO, "its service thread is out of order");
	snprintf(text, sizeof(text), "%.250s (%s)", message.failed.text,
		 ccr_cuda_error_name(message.failed.cu_result));
	return fail(q, member, message.result ? message.result : -EIO, text);
}

/* Those that are quiet make calls; if there are none, all do with their next question. */
static int step(struct quiesce *q)
{
	const bool are_all_busy = !nr_quiet(q);
	int ret = 0;

	if (++q->nr_steps % NR_STEPS == 0 && q->calls < MAX_CALLS)
		q->calls *= 2;
	for (size_t i = 0; i < q->nr && !ret; i++) {
		struct member *member = &q->members[i];

		if (!member->is_quiet && !are_all_busy)
			continue;
		member->calls = q->calls;
		if (member->is_quiet)
			ret = ask(q, member);
	}
	q->next_step = now_ms() + ALL_BUSY_MS; /* unless an answer comes */
	return ret;
}

static bool is_time_for_step(const struct quiesce *q)
{
	const double now = now_ms();

	for (size_t i = 0; i < q->nr; i++)
		if (q->members[i].calls || (q->members[i].is_asked && !q->members[i].was_busy))
			return false; /* of the last one */
	return now < (q->start + q->deadline) / 2 &&
	       now >= q->next_step + (nr_quiet(q) ? 0 : ALL_BUSY_MS);
}

static int wait_for_answers(struct quiesce *q)
{
	struct pollfd *pollers = calloc(q->nr + 1, sizeof(*pollers));
	const double now = now_ms();
	double left = q->next_step > now ? q->next_step - now : STEP_MS;
	int ret = pollers ? 0 : -ENOMEM;

	if (left > q->deadline - now)
		left = q->deadline - now;
	if (left < 0) /* poll would wait forever */
		left = 0;
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
	int ret = 0;

	q->next_step = q->start + PAUSE_MS;
	for (size_t i = 0; i < q->nr && !ret; i++)
		ret = ask(q, &q->members[i]);
	while (!ret && nr_quiet(q) < q->nr) {
		if (now_ms() >= q->deadline)
			return time_out(q, timeout_ms);
		ret = wait_for_answers(q);
		if (!ret && nr_quiet(q) < q->nr && is_time_for_step(q))
			ret = step(q);
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
		.pause = PAUSE_MS,
		.calls = 1,
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
	if (!ret)
		ret = sharing_backup(session);
	ccr_status_add(&session->status,
		       "{\"event\":\"quiesce\",\"result\":%d,\"processes\":%zu,\"calls\":%u,"
		       "\"ms\":%.3f}",
		       ret, q.nr, q.nr_calls, now_ms() - q.start);
	for (size_t i = 0; i < q.nr; i++)
		if (ret)
			op_process_forget(q.members[i].process);
		else
			q.members[i].process->is_quiet = q.members[i].process->has_group = true;
	free(q.members);
	if (ret && !*error)
		snprintf(error, sizeof(error), "%s", strerror(-ret));
	session_reply(session, ret ? CCR_MSG_OP_RESULT : CCR_MSG_OP_QUIET, request->operation, ret,
		      error);
}
