// SPDX-License-Identifier: MIT
/* What runs by itself: threads that count, a real-time signal, and a timer that sends it. */
#include "workloads/state/state.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS  64
#define STACK_WORDS  2048
#define TIMER_MS     5
#define WAIT_SECONDS 20

static struct thread {
	uint64_t seed, rounds; /* rounds: atomic */
	bool is_wrong;	       /* atomic */
} threads[MAX_THREADS];
static int nr_threads;
static int timer_signal, queue_signal;
static uint64_t ticks, queued; /* atomic */

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (signal == timer_signal && info->si_code == SI_TIMER)
		__atomic_add_fetch(&ticks, 1, __ATOMIC_RELAXED);
	else if (signal == queue_signal && info->si_code == SI_QUEUE)
		__atomic_add_fetch(&queued, (uint64_t)info->si_value.sival_int, __ATOMIC_RELAXED);
}

/* A page of the stack that is lost, or is old, has a number of a different round. */
static void *count_forever(void *argument)
{
	struct thread *t = argument;
	volatile uint64_t words[STACK_WORDS];
	const struct timespec pause = {.tv_nsec = 300000 + (long)state_random(&t->seed, 700000)};
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, queue_signal);
	sigaddset(&blocked, SIGRTMIN + 8 + (int)state_random(&t->seed, 8));
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	for (uint64_t round = 1;; round++) {
		for (size_t i = 0; i < STACK_WORDS; i++)
			words[i] = round;
		nanosleep(&pause, NULL);
		for (size_t i = 0; i < STACK_WORDS; i++)
			if (words[i] != round)
				__atomic_store_n(&t->is_wrong, true, __ATOMIC_RELAXED);
		__atomic_add_fetch(&t->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int start_timer(void)
{
	const struct itimerspec when = {.it_value.tv_nsec = TIMER_MS * 1000000,
					.it_interval.tv_nsec = TIMER_MS * 1000000};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = timer_signal};
	struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
	timer_t timer;

	action.sa_sigaction = on_signal;
	if (sigaction(timer_signal, &action, NULL) || sigaction(queue_signal, &action, NULL))
		return -1;
	return timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &when, NULL)
		       ? -1
		       : 0;
}

int activity_start(uint64_t seed, int count)
{
	/* Programs use any of them; none is free for a library. */
	timer_signal = SIGRTMIN + 2 + (int)state_random(&seed, SIGRTMAX - SIGRTMIN - 2);
	queue_signal = timer_signal == SIGRTMIN + 2 ? SIGRTMIN + 3 : SIGRTMIN + 2;
	if (start_timer())
		return -1;
	for (nr_threads = 0; nr_threads < count; nr_threads++) {
		pthread_attr_t small;
		pthread_t thread;

		threads[nr_threads].seed = seed + (uint64_t)nr_threads;
		pthread_attr_init(&small);
		pthread_attr_setstacksize(&small, 256 << 10);
		errno = pthread_create(&thread, &small, count_forever, &threads[nr_threads]);
		pthread_attr_destroy(&small);
		if (errno)
			return -1;
		pthread_detach(thread);
	}
	return 0;
}

/* Waits until the number is larger than it was. */
static bool advances(const uint64_t *number, uint64_t before)
{
	const struct timespec pause = {.tv_nsec = 200000};
	const time_t end = time(NULL) + WAIT_SECONDS;

	while (__atomic_load_n(number, __ATOMIC_RELAXED) <= before) {
		if (time(NULL) > end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static bool queue_arrives(void)
{
	const uint64_t before = __atomic_load_n(&queued, __ATOMIC_RELAXED);
	const int values[] = {1, 20, 300};

	for (size_t i = 0; i < 3; i++)
		if (sigqueue(getpid(), queue_signal, (union sigval){.sival_int = values[i]}))
			return false;
	return advances(&queued, before + 320) &&
	       __atomic_load_n(&queued, __ATOMIC_RELAXED) == before + 321;
}

void activity_report(struct report *r)
{
	uint64_t before[MAX_THREADS];
	const uint64_t ticked = __atomic_load_n(&ticks, __ATOMIC_RELAXED);

	for (int i = 0; i < nr_threads; i++)
		before[i] = __atomic_load_n(&threads[i].rounds, __ATOMIC_RELAXED);
	report_add(r, "queue%d=%s ", queue_signal, queue_arrives() ? "arrives" : "lost");
	report_add(r, "timer%d=%s ", timer_signal, advances(&ticks, ticked) ? "ticks" : "stopped");
	for (int i = 0; i < nr_threads; i++)
		report_add(r, "thread%d=%s ", i,
			   threads[i].is_wrong			     ? "wrong"
			   : advances(&threads[i].rounds, before[i]) ? "counts"
								     : "stopped");
}
