// SPDX-License-Identifier: GPL-2.0-only
/* Threads inside criu for the duration of one call: a hook starts them and waits until they end. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "plugin/task/state.h"
#include "plugin/host/remap/remap.h"

#define MAX_THREADS 64

static long wanted_threads(void)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN), wanted = ccr__plugin.settings.streams;

	return cpus > 0 && cpus < wanted ? cpus : wanted;
}

void ccr__remap_threads(void *(*run)(void *data), void *data)
{
	const long threads = wanted_threads();
	pthread_t others[MAX_THREADS];
	long started = 0;
	sigset_t all, before;

	/* Only criu's main thread may run its signal handlers. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started + 1 < threads && started < MAX_THREADS &&
	       !pthread_create(&others[started], NULL, run, data))
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	run(data);
	while (started)
		pthread_join(others[--started], NULL);
}
