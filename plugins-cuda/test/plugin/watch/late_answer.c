// SPDX-License-Identifier: GPL-2.0-only
/* An answer of the watcher that comes after the time limit is not taken for that of the next
 * question. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/task/state.h"
#include "plugin/watch/watcher_message.h"
#include "test/check.h"

static int watcher; /* its end of the socket */

static void answer_next(int result)
{
	struct watcher_message message;
	int fds[WATCHER_SLOTS];

	CHECK(ccr__watcher_receive(watcher, &message, fds));
	ccr__watcher_answer(watcher, &message, result);
}

/* Late for the first question, and twice for the second, as a watcher that has taken over does. */
static void *answer_both(void *unused)
{
	struct watcher_message message;
	int fds[WATCHER_SLOTS];

	answer_next(0);
	CHECK(ccr__watcher_receive(watcher, &message, fds));
	ccr__watcher_answer(watcher, &message, -EBUSY);
	ccr__watcher_answer(watcher, &message, 0);
	answer_next(-ENOENT);
	return unused;
}

static int ask(void)
{
	struct watcher_message message = {.kind = WATCHER_LET_GO};
	int fds[WATCHER_SLOTS];

	ccr__watcher_no_fds(fds);
	return ccr__watcher_ask(&message, fds);
}

int main(void)
{
	pthread_t thread;
	int pair[2];

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	ccr__plugin.watcher_fd = pair[0];
	watcher = pair[1];
	ccr__plugin.settings.step_timeout_ms = 1;
	CHECK(ask() == -ETIMEDOUT);
	ccr__plugin.settings.step_timeout_ms = 60000;
	CHECK(!pthread_create(&thread, NULL, answer_both, NULL));
	CHECK(ask() == -EBUSY);
	CHECK(ask() == -ENOENT);
	CHECK(!pthread_join(thread, NULL));
	close(watcher);
	CHECK(ask() == -EPIPE);
	return failures ? 1 : 0;
}
