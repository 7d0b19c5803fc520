// SPDX-License-Identifier: MIT
/* The start in a process that has called cuInit, and the reset in a forked child. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "intercept/calls/calls.h"
#include "intercept/copy/threads.h"
#include "intercept/core/mailbox.h"
#include "intercept/entry/entry.h"
#include "intercept/keeper/keeper.h"
#include "intercept/records/contexts.h"
#include "intercept/records/events.h"
#include "intercept/records/records.h"
#include "intercept/service/service.h"

/*
 * What glibc's pthread_atfork calls. musl does not have it; there is no driver for
 * musl, but its loader must accept this library.
 */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
			     void *dso_handle) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

static pthread_mutex_t activate_lock = PTHREAD_MUTEX_INITIALIZER;

/* The child has no CUDA: the driver refuses its calls, as it would without us. */
static void in_child(void)
{
	atomic_store(&ccr__core.is_active, false);
	ccr__copy_disable();
	ccr__gate_reset();
	ccr__service_reset();
	ccr__keep_reset();
	/* The threads that held these locks do not exist in the child. */
	pthread_mutex_init(&ccr__memory.lock, NULL);
	ccr__slots_reset();
	ccr__contexts_reset();
	ccr__captures_reset();
	ccr__events_reset();
}

/* Always printed: such a process cannot be dumped with its device memory, and nothing else says so.
 */
static void report_failure(int error)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "cannot start the service thread: %s; device memory is left to the driver, and a "
		 "dump with it may be refused",
		 strerror(-error));
	ccr__core_report(text);
}

/* Called after a successful cuInit in this process: starts the service thread, once. */
static void activate(void)
{
	static bool is_started;
	int ret;

	if (!ccr__core.has_gate)
		return;
	pthread_mutex_lock(&activate_lock);
	if (!is_started) {
		is_started = true;
		ret = __register_atfork ? -__register_atfork(NULL, NULL, in_child, &__dso_handle)
					: -ENOSYS;
		if (!ret)
			ret = ccr__mailbox_create();
		if (!ret)
			ret = ccr__service_start();
		if (ret)
			report_failure(ret);
		else
			atomic_store_explicit(&ccr__core.is_active, true, memory_order_release);
		if (!ret && ccr__core.has_copies)
			ccr__copy_enable();
	}
	pthread_mutex_unlock(&activate_lock);
}

CUresult ccr__wrap_cuInit(unsigned int flags)
{
	const CUresult result = ccr__real.cuInit(flags);

	if (result == CUDA_SUCCESS)
		activate();
	return result;
}
