// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/device/exchange.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/process.h"
#include "plugin/device/pool_link.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/restore_thread.h"

#define POLL_MS 5
/* How often to look whether the task has ended, which not every call notices. */
#define LOOK_MS 500

/* ---- answers ---- */

static struct pool_answer *answers; /* those that somebody waits for */

void ccr__answers_end(int result)
{
	for (struct pool_answer *answer = answers; answer; answer = answer->next) {
		if (!answer->is_done)
			answer->result = result;
		answer->is_done = true;
	}
}

static void listen_for(struct pool_answer *answer)
{
	answer->next = answers;
	answers = answer;
}

static void ignore(struct pool_answer *answer)
{
	struct pool_answer **link = &answers;

	while (*link && *link != answer)
		link = &(*link)->next;
	if (*link)
		*link = answer->next;
}

bool ccr__answers_note(const struct ccr_message *message)
{
	struct pool_answer *answer = answers;

	while (answer && answer->operation != message->operation)
		answer = answer->next;
	if (!answer)
		return false;
	answer->is_accepted = true;
	if (message->type != CCR_MSG_OP_RESULT)
		return true;
	answer->is_done = true;
	answer->result = message->result;
	if (message->result)
		snprintf(answer->error, sizeof(answer->error), "%s", message->done.text);
	return true;
}

bool ccr__answers_are_awaited(void)
{
	const struct pool_answer *answer = answers;

	while (answer && answer->is_done)
		answer = answer->next;
	return answer;
}

/* ---- one exchange ---- */

const char *ccr__exchange_failure(const struct exchange *exchange)
{
	const struct pool_answer *answer = &exchange->answer;

	if (answer->result == -EPIPE)
		return "cuda-poold has ended";
	if (answer->result == -ETIMEDOUT)
		return "cuda-poold does not answer in time";
	if (*answer->error)
		return answer->error;
	return answer->result == -ESRCH ? "the process has ended" : strerror(-answer->result);
}

/* A helper in which a call of the driver hangs would not end by itself. */
static void end_helper(void)
{
	if (ccr__pool_link.is_daemon || ccr__pool_link.peer <= 1)
		return;
	ccr_err("context pool: killing the helper %d, which waits for the driver",
		ccr__pool_link.peer);
	kill(ccr__pool_link.peer, SIGKILL);
}

static void end(struct exchange *exchange, int result)
{
	exchange->answer.is_done = true;
	exchange->answer.result = result;
}

void ccr__exchange_begin(struct exchange *exchange, enum ccr_message_type type,
			 const struct task *task)
{
	const double now = ccr__now_ms();
	const int on = 1;
	int ret;

	*exchange = (struct exchange){
		.task = task,
		.answer.operation = task->storage,
		.link = ccr__pool_link.number,
		.deadline = now + ccr__plugin.settings.step_timeout_ms,
		.next_look = now + LOOK_MS,
	};
	setsockopt(ccr__pool_link.socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	listen_for(&exchange->answer);
	ret = ccr__pool_request(type, task,
				CCR_OP_IMAGES | CCR_OP_STATUS | CCR_OP_PIDFD |
					(type == CCR_MSG_OP_STORE ? CCR_OP_EARLIER : 0));
	if (ret)
		end(exchange, ret);
}

/* Whether there is still something to wait for. */
static void look(struct exchange *exchange)
{
	const struct ccr_settings *s = &ccr__plugin.settings;
	const double now = ccr__now_ms();

	if (exchange->answer.is_accepted && !exchange->was_accepted) {
		exchange->was_accepted = true;
		exchange->deadline = now + s->step_timeout_ms + s->copy_timeout_ms;
	}
	if (now > exchange->deadline) {
		end_helper();
		end(exchange, -ETIMEDOUT);
	} else if (now > exchange->next_look) {
		const bool is_dying = ccr_is_dying(exchange->task->pid);

		if (is_dying && exchange->was_dying) {
			end_helper();
			end(exchange, -ESRCH);
		}
		exchange->was_dying = is_dying;
		exchange->next_look = now + LOOK_MS;
	}
}

bool ccr__exchange_is_done(struct exchange *exchange)
{
	ccr__restore_thread_keep_running();
	ccr__pool_take();
	if (!exchange->answer.is_done)
		look(exchange);
	return exchange->answer.is_done;
}

int ccr__exchange_wait(struct exchange *exchange)
{
	while (!ccr__exchange_is_done(exchange)) {
		struct pollfd poller = {.fd = ccr__pool_link.socket, .events = POLLIN};

		poll(&poller, 1, POLL_MS);
	}
	return exchange->answer.result;
}

void ccr__exchange_end(struct exchange *exchange)
{
	ignore(&exchange->answer);
}
