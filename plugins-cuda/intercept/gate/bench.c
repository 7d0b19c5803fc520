// SPDX-License-Identifier: MIT
/*
 * ccr-gate-bench: measures what a gate stub adds to a call, in nanoseconds of CPU
 * time. It needs no driver: the stubs are linked in and call a function that does
 * nothing. Prints one JSON object per line; with `--limit FACTOR`, a stub that adds
 * more than that many times what two locked instructions cost on the same machine
 * is an error: nanoseconds alone would judge the machine.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "intercept/gate/gate.h"

#define CALLS	 2000000
#define SAMPLES	 15
#define MAX_JOBS 16

typedef int (*call)(long, long, long, long, long, long);

static int nothing(long a, long b, long c, long d, long e, long f)
{
	__asm__ volatile("");
	return a == f;
}

/* What any gate needs: the call is counted and counted back, each by a locked instruction. */
static int counted(long a, long b, long c, long d, long e, long f)
{
	static _Thread_local atomic_long calls;

	atomic_fetch_add(&calls, 1);
	nothing(a, b, c, d, e, f);
	atomic_fetch_sub(&calls, 1);
	return 0;
}

void ccr__slot_resolve(struct ccr__slot *slot)
{
	slot->target = (void *)nothing;
}

struct ccr__slot ccr__slots[CCR_NR_SLOTS] = {
	[0] = {.kind = CCR_KIND_OPEN},
	[1] = {.kind = CCR_KIND_REGS},
	[2] = {.kind = CCR_KIND_STACK},
};

struct job {
	pthread_t thread;
	call function;
	double ns; /* per call */
};

/* CPU time of this thread: on a busy machine others run in between. An open gate never sleeps. */
static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void *run(void *argument)
{
	struct job *job = argument;
	call volatile function = job->function;
	double start;

	function(1, 2, 3, 4, 5, 6);
	start = cpu_ns();
	for (int i = 0; i < CALLS; i++)
		function(1, 2, 3, 4, 5, 6);
	job->ns = (cpu_ns() - start) / CALLS;
	return NULL;
}

static double sample(call function, int nr_threads)
{
	struct job jobs[MAX_JOBS];
	double sum = 0;

	for (int i = 0; i < nr_threads; i++) {
		jobs[i].function = function;
		if (pthread_create(&jobs[i].thread, NULL, run, &jobs[i]))
			exit(1);
	}
	for (int i = 0; i < nr_threads; i++) {
		pthread_join(jobs[i].thread, NULL);
		sum += jobs[i].ns;
	}
	return sum / nr_threads;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * Returns the difference between the fastest samples, because other load on the
 * machine only ever adds time. Also prints the median of the paired differences.
 */
static double measure(const char *kind, call function, int nr_threads)
{
	double added[SAMPLES], fastest = 1e9, fastest_direct = 1e9;

	for (int i = 0; i < SAMPLES; i++) {
		const double direct = sample(nothing, nr_threads);
		const double gated = sample(function, nr_threads);

		added[i] = gated - direct;
		fastest = gated < fastest ? gated : fastest;
		fastest_direct = direct < fastest_direct ? direct : fastest_direct;
	}
	qsort(added, SAMPLES, sizeof(added[0]), by_value);
	printf("{\"stub\":\"%s\",\"threads\":%d,\"added_ns\":%.2f,\"median_ns\":%.2f,"
	       "\"direct_ns\":%.2f,\"samples\":%d,\"calls\":%d}\n",
	       kind, nr_threads, fastest - fastest_direct, added[SAMPLES / 2], fastest_direct,
	       SAMPLES, CALLS);
	return fastest - fastest_direct;
}

int main(int argc, char **argv)
{
	const double limit = argc == 3 && !strcmp(argv[1], "--limit") ? strtod(argv[2], NULL) : 0;
	double worst = 0;

	if (argc != 1 && limit <= 0) {
		fprintf(stderr, "usage: ccr-gate-bench [--limit FACTOR]\n"
				"FACTOR: of what two locked instructions cost on this machine\n");
		return 2;
	}
	for (int threads = 1; threads <= 2; threads++) {
		const double least = measure("counted", counted, threads);
		const double open = measure("open", (call)ccr__stub_at(0), threads);
		const double regs = measure("regs", (call)ccr__stub_at(1), threads);
		const double stack = measure("stack", (call)ccr__stub_at(2), threads);

		worst = regs / least > worst ? regs / least : worst;
		worst = stack / least > worst ? stack / least : worst;
		worst = open / least > worst ? open / least : worst;
	}
	return limit > 0 && worst > limit;
}
