// SPDX-License-Identifier: MIT
/*
 * Description: a session whose application does not answer, breaks off, is not
 * connected at all, or has ended, and another has its pid. No hand-over is waited for
 * without a limit, and a roll-back is answered with what the application has said.
 * The gates of a group close together, or are all open.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/device/device.h"
#include "test/pool/session_test.h"

static void not_connected(void)
{
	int ends[2];

	request(CCR_MSG_OP_ROLL_BACK, 1, -1);
	expect_reply(CCR_MSG_OP_GIVEN, 1, 0);
	request(CCR_MSG_OP_DUMP, 1, -1);
	expect_reply(CCR_MSG_OP_RESULT, 1, -ESRCH);
	/* What the application names may be any descriptor of its own. */
	CHECK(!pipe2(ends, O_CLOEXEC));
	request(CCR_MSG_OP_DUMP, 1, ends[0]);
	expect_reply(CCR_MSG_OP_RESULT, 1, -ESRCH);
	close(ends[1]);
}

static void does_not_answer(void)
{
	int application;
	const int connection = connect_to(&application);
	const double start = now_ms();

	request(CCR_MSG_OP_DUMP, 2, connection);
	expect_reply(CCR_MSG_OP_READY, 2, 0);
	expect_reply(CCR_MSG_OP_RESULT, 2, -ETIMEDOUT);
	CHECK(now_ms() - start >= TIMEOUT_MS && now_ms() - start < WAIT_MS);
	request(CCR_MSG_OP_ROLL_BACK, 2, -1);
	expect_reply(CCR_MSG_OP_GIVEN, 2, 0);
	close(application);
}

/* Answers up to HELD, and then does not say whether it has released its memory. */
static void breaks_off(void)
{
	int application, next;

	request(CCR_MSG_OP_DUMP, 3, connect_to(&application));
	expect_reply(CCR_MSG_OP_READY, 3, 0);
	say(application, CCR_MSG_HELLO, CCR_SERVICE_RESIDENT);
	hear(application, CCR_MSG_EVICT);
	say(application, CCR_MSG_END, 0);
	hear(application, CCR_MSG_HELD);
	close(application);
	expect_reply(CCR_MSG_OP_RESULT, 3, -EPIPE);
	request(CCR_MSG_OP_ROLL_BACK, 3, -1);
	expect_reply(CCR_MSG_OP_GIVEN, 3, -ENOTCONN);
	request(CCR_MSG_OP_ROLL_BACK, 3, connect_to(&next));
	say(next, CCR_MSG_HELLO, CCR_SERVICE_RESIDENT);
	hear(next, CCR_MSG_ABORT);
	expect_reply(CCR_MSG_OP_GIVEN, 3, 0);
	close(next);
}

static void pid_is_used_again(void)
{
	pid_t pid = fork();
	struct clone_args args = {
		.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1};
	int pidfd, application;

	if (!pid)
		_exit(0);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	CHECK(pidfd >= 0 && waitpid(pid, NULL, 0) == pid);
	if (!geteuid()) {
		const pid_t other = syscall(SYS_clone3, &args, sizeof(args));

		if (!other)
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (!other)
			pause();
		CHECK(other == pid);
	}
	request_for(pid, dup(pidfd), CCR_MSG_OP_STORE, 4, -1);
	expect_reply(CCR_MSG_OP_RESULT, 4, -ESRCH);
	request_for(pid, pidfd, CCR_MSG_OP_DUMP, 5, connect_to(&application));
	expect_reply(CCR_MSG_OP_RESULT, 5, -ESRCH);
	close(application);
	if (geteuid()) {
		puts("skipped: another process with the pid: only root can choose one");
		return;
	}
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
}

/* ---- groups ---- */

static void quiesce_together(void)
{
	int first, second;

	timeout_ms = LONG_MS;
	join(10, &first, CCR_PROTOCOL_VERSION);
	join(11, &second, CCR_PROTOCOL_VERSION);
	request(CCR_MSG_OP_QUIESCE, 0, -1);
	CHECK(!hear_quiesce(first) && !hear_quiesce(second));
	say_quiet(first, 0);
	say_quiet(second, -EBUSY);
	/* The second waits for a call of the first. */
	CHECK(!hear_quiesce(second));
	CHECK(hear_quiesce(first) == 1);
	say_quiet(first, -EBUSY);
	CHECK(!hear_quiesce(first));
	say_quiet(second, 0);
	/* Now it is the other way round. */
	CHECK(hear_quiesce(second) == 1);
	say_quiet(second, 0);
	say_quiet(first, 0);
	shares_nothing(second);
	shares_nothing(first);
	expect_reply(CCR_MSG_OP_QUIET, 0, 0);
	timeout_ms = TIMEOUT_MS;
	/* A roll-back of one opens its gate alone. */
	request(CCR_MSG_OP_ROLL_BACK, 11, -1);
	expect_reply(CCR_MSG_OP_GIVEN, 11, 0);
	gate_opens(second);
	/* The other is asked for its memory on the same connection, and keeps it. Its gate stays
	 * closed until someone says what becomes of it. */
	request(CCR_MSG_OP_DUMP, 10, -1);
	expect_reply(CCR_MSG_OP_READY, 10, 0);
	hear(first, CCR_MSG_EVICT);
	say(first, CCR_MSG_FAILED, 0);
	hear(first, CCR_MSG_ABORT);
	say_quiet(first, 0);
	expect_reply(CCR_MSG_OP_RESULT, 10, -EIO);
	CHECK(is_silent(first));
	request(CCR_MSG_OP_ROLL_BACK, 10, -1);
	expect_reply(CCR_MSG_OP_GIVEN, 10, 0);
	gate_opens(first);
}

static void *answer_busy(void *application)
{
	struct ccr_message m;

	while (!ccr_message_receive((intptr_t)application, &m, NULL, NULL, WAIT_MS)) {
		ccr_message_init(&m, CCR_MSG_QUIET, 0);
		m.result = -EBUSY;
		ccr_message_send((intptr_t)application, &m, NULL, 0);
	}
	return NULL;
}

/* All gates open, and none is a member any more. */
static void quiesce_fails(void)
{
	pthread_t thread;
	int first, second;

	join(12, &first, CCR_PROTOCOL_VERSION);
	join(13, &second, CCR_PROTOCOL_VERSION);
	CHECK(!pthread_create(&thread, NULL, answer_busy, (void *)(intptr_t)second));
	request(CCR_MSG_OP_QUIESCE, 0, -1);
	CHECK(!hear_quiesce(first));
	say_quiet(first, 0);
	expect_reply(CCR_MSG_OP_RESULT, 0, -ETIMEDOUT);
	gate_opens(first);
	CHECK(!pthread_join(thread, NULL));
	close(second);
	request(CCR_MSG_OP_QUIESCE, 0, -1);
	expect_reply(CCR_MSG_OP_RESULT, 0, -ENOENT);

	join(14, &first, CCR_PROTOCOL_VERSION);
	join(15, &second, CCR_PROTOCOL_MIN);
	request(CCR_MSG_OP_QUIESCE, 0, -1);
	expect_reply(CCR_MSG_OP_RESULT, 0, -EPROTONOSUPPORT);
	gate_opens(first);
	gate_opens(second);

	/* The watcher asks, because criu has ended. */
	timeout_ms = LONG_MS;
	join(16, &first, CCR_PROTOCOL_VERSION);
	request(CCR_MSG_OP_QUIESCE, 0, -1);
	CHECK(!hear_quiesce(first));
	request(CCR_MSG_OP_ROLL_BACK, 16, -1);
	expect_reply(CCR_MSG_OP_RESULT, 0, -ECANCELED);
	expect_reply(CCR_MSG_OP_GIVEN, 16, 0);
	gate_opens(first);
	timeout_ms = TIMEOUT_MS;
}

int main(void)
{
	session_begin();
	not_connected();
	does_not_answer();
	breaks_off();
	pid_is_used_again();
	quiesce_together();
	quiesce_fails();
	session_finish();
	return failures + session_failures() ? 1 : 0;
}
