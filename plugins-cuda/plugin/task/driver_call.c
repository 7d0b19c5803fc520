// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver calls that wait for the restore thread. A signal may stop that thread,
 * and only its tracer, criu's main thread, can resume it. So another thread
 * makes the call, and the main thread watches the restore thread.
 */
#include "plugin/task/driver_call.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include "plugin/task/restore_thread.h"

#define POLL_MS 5

static void *make(void *data)
{
	struct driver_call *call = data;

	call->result = call->function(call->pid, call->argument);
	close(call->done[1]);
	return NULL;
}

int ccr__driver_call_begin(struct driver_call *call)
{
	sigset_t all, before;
	int ret;

	if (pipe2(call->done, O_CLOEXEC))
		return -errno;
	/* Only criu's main thread may run its signal handlers. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&call->thread, NULL, make, call);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret) {
		close(call->done[0]);
		close(call->done[1]);
	}
	return ret;
}

bool ccr__driver_call_is_done(const struct driver_call *call, int timeout_ms)
{
	struct pollfd poller = {.fd = call->done[0], .events = POLLIN};

	ccr__restore_thread_keep_running();
	return poll(&poller, 1, timeout_ms) > 0;
}

void ccr__driver_call_end(struct driver_call *call)
{
	while (!ccr__driver_call_is_done(call, POLL_MS))
		;
	pthread_join(call->thread, NULL);
	close(call->done[0]);
}

CUresult ccr__driver_call(CUresult (*function)(pid_t pid, void *argument), pid_t pid,
			  void *argument)
{
	struct driver_call call = {.function = function, .pid = pid, .argument = argument};

	if (!ccr__restore_thread_is_running() || ccr__driver_call_begin(&call))
		return function(pid, argument);
	ccr__driver_call_end(&call);
	return call.result;
}

CUresult ccr__driver_checkpoint(pid_t pid, void *unused)
{
	return ccr__plugin.driver.cuCheckpointProcessCheckpoint(pid, NULL);
}
