// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/threads/threads.h"

#include <signal.h>
#include <unistd.h>

#include "plugin/watch/guard.h"
#include "plugin/task/state.h"

static long wanted_threads(void)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN), wanted = ccr__plugin.settings.streams;

	return cpus > 0 && cpus < wanted ? cpus : wanted;
}

static void *start(void *data)
{
	const struct remap_threads *threads = data;

	/* At a dump, the thread has descriptors of its own from here on: those that are open now.
	 */
	ccr__guard_enter_thread();
	return threads->run(threads->data);
}

void ccr__remap_threads_begin(struct remap_threads *threads, long spared, void *(*run)(void *data),
			      void *data)
{
	const long wanted = wanted_threads() - spared;
	sigset_t all, before;

	*threads = (struct remap_threads){.run = run, .data = data};
	/* Only criu's main thread may run its signal handlers. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (threads->nr < wanted && threads->nr < REMAP_MAX_THREADS &&
	       !pthread_create(&threads->list[threads->nr], NULL, start, threads))
		threads->nr++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void ccr__remap_threads_end(struct remap_threads *threads)
{
	while (threads->nr)
		pthread_join(threads->list[--threads->nr], NULL);
}

void ccr__remap_threads(void *(*run)(void *data), void *data)
{
	struct remap_threads others;

	ccr__remap_threads_begin(&others, 1, run, data);
	run(data);
	ccr__remap_threads_end(&others);
}
