// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process that makes criu's driver calls: a signal for criu's process group
 * does not end it while it starts, and when it is killed during a call, that is
 * not taken for an answer of the driver.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/task/driver_call.h"
#include "plugin/task/restore_thread.h"
#include "test/check.h"

#define ANSWER 4711

void ccr__restore_thread_keep_running(void)
{
}

int criu_get_image_dir(void)
{
	return -1;
}

static CUresult answer(pid_t pid, int *out)
{
	*out = ANSWER;
	return CUDA_SUCCESS;
}

static CUresult never(pid_t pid, int *out)
{
	while (pause())
		;
	return CUDA_SUCCESS;
}

/* What a shell does when the user presses Ctrl-C: every process of the group gets it. */
static void interrupt_child(void)
{
	kill(getpid(), SIGINT);
	kill(getpid(), SIGTERM);
	kill(getpid(), SIGHUP);
}

static void test_interrupted_start(void)
{
	int number = 0;

	pthread_atfork(NULL, NULL, interrupt_child);
	CHECK(ccr__driver_call(answer, getpid(), &number) == CUDA_SUCCESS);
	CHECK(number == ANSWER);
}

static void test_killed(void)
{
	struct driver_call call = {.function = never, .pid = getpid()};
	int number = 0;

	CHECK(!ccr__driver_call_begin(&call));
	CHECK(!syscall(SYS_pidfd_send_signal, ccr__driver_call_pidfd(NULL), SIGKILL, NULL, 0));
	ccr__driver_call_end(&call);
	CHECK(call.result == CCR_DRIVER_CALL_LOST);
	CHECK(ccr__driver_call(answer, getpid(), &number) == CUDA_SUCCESS);
	CHECK(number == ANSWER);
}

int main(void)
{
	ccr__plugin.settings.step_timeout_ms = 10000;
	test_interrupted_start();
	test_killed();
	return failures ? 1 : 0;
}
