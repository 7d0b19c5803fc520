// SPDX-License-Identifier: MIT
/*
 * Description: the stubs alone, without a driver. They pass arguments, results
 * and errno, the number of calls in flight is exact no matter how a call ends,
 * and a closed gate blocks calls.
 */
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "intercept/gate/gate.h"

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

enum { MANY, BYTES64, REAL, INSIDE, NESTED, COUNT, TRACE, LEAVE, NR_USED };

struct bytes64 {
	char data[64];
};

struct ccr__slot ccr__slots[CCR_NR_SLOTS];
extern uint32_t ccr__gate_closed;

#define CALL(slot, type) ((type)ccr__stub_at(slot))

static uint64_t soon(unsigned int ms)
{
	return ccr__now_ns() + ms * 1000000ull;
}

/* --- targets --- */

static long many(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j,
		 long k, long l, long m, long n, long o, long p)
{
	errno = ERANGE;
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k +
	       12 * l + 13 * m + 14 * n + 15 * o + 16 * p;
}

static int bytes64(long a, struct bytes64 value, int b)
{
	for (int i = 0; i < 64; i++)
		if (value.data[i] != (char)(i * 3 + 1))
			return -1;
	return a + b;
}

static double real_numbers(double a, float b, double c, double d, double e, double f, double g,
			   double h, double i)
{
	return a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8 + i * 9;
}

static uint32_t arrived, released; /* futexes */

static int inside(void)
{
	__atomic_store_n(&arrived, 1, __ATOMIC_SEQ_CST);
	ccr__futex_wake(&arrived);
	while (!__atomic_load_n(&released, __ATOMIC_SEQ_CST))
		ccr__futex_wait(&released, 0, UINT64_MAX);
	return 7;
}

static int nested(void)
{
	/* The gate may be closed by now. A call within a call must still pass. */
	return CALL(REAL, double (*)(double, ...))(1.0) >= 0 ? 11 : 0;
}

static atomic_int running, calls;
static atomic_bool is_closed, stop;

static int count(void)
{
	atomic_fetch_add(&running, 1);
	CHECK(!atomic_load(&is_closed));
	atomic_fetch_add(&calls, 1);
	CHECK(!atomic_load(&is_closed));
	atomic_fetch_sub(&running, 1);
	return 0;
}

static void *frames[64];
static int nr_frames;

static int trace(void)
{
	nr_frames = backtrace(frames, 64);
	return nr_frames;
}

static int leave(void)
{
	pthread_exit((void *)5);
}

void ccr__slot_resolve(struct ccr__slot *slot)
{
	static void *const targets[NR_USED] = {many,   bytes64, real_numbers, inside,
					       nested, count,	trace,	      leave};

	__atomic_store_n(&slot->target, targets[slot - ccr__slots], __ATOMIC_RELEASE);
}

/* --- tests --- */

static void arguments(void)
{
	struct bytes64 value;
	long sum;

	for (int i = 0; i < 64; i++)
		value.data[i] = (char)(i * 3 + 1);
	for (int round = 0; round < 2; round++) { /* the first round looks the target up */
		errno = 0;
		sum = CALL(MANY, __typeof__(&many))(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
						    15, 16);
		CHECK(sum == 1496 && errno == ERANGE);
		CHECK(CALL(BYTES64, __typeof__(&bytes64))(30, value, 12) == 42);
		CHECK(CALL(REAL, __typeof__(&real_numbers))(1, 2, 3, 4, 5, 6, 7, 8, 9) == 285);
	}
}

static void *call_inside(void *unused)
{
	CHECK(CALL(INSIDE, int (*)(void))() == 7);
	return NULL;
}

static pthread_t start_inside(void)
{
	pthread_t thread;

	arrived = released = 0;
	CHECK(!pthread_create(&thread, NULL, call_inside, NULL));
	while (!__atomic_load_n(&arrived, __ATOMIC_SEQ_CST))
		ccr__futex_wait(&arrived, 0, UINT64_MAX);
	return thread;
}

static void let_out(void)
{
	__atomic_store_n(&released, 1, __ATOMIC_SEQ_CST);
	ccr__futex_wake(&released);
}

static void *open_later(void *thread)
{
	/* The closer is waiting in a futex of the gate, or will find that the call has ended. */
	let_out();
	pthread_join(*(pthread_t *)thread, NULL);
	return NULL;
}

static void closing(void)
{
	pthread_t caller = start_inside(), opener;
	uint64_t before = ccr__now_ns();

	CHECK(ccr__gate_close(soon(50)) == -ETIMEDOUT);
	CHECK(ccr__gate_closed);
	CHECK(ccr__gate_close(soon(50)) == -ETIMEDOUT);
	ccr__gate_open();
	CHECK(ccr__now_ns() - before >= 50000000);
	CHECK(!ccr__gate_closed);
	CHECK(!pthread_create(&opener, NULL, open_later, &caller));
	CHECK(!ccr__gate_close(soon(20000)));
	CHECK(ccr__gate_closed);
	ccr__gate_open();
	pthread_join(opener, NULL);
}

static void *count_calls(void *unused)
{
	while (!atomic_load(&stop))
		CALL(COUNT, int (*)(void))();
	return NULL;
}

static void many_threads(void)
{
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		CHECK(!pthread_create(&threads[i], NULL, count_calls, NULL));
	for (int round = 0; round < 100; round++) {
		const int seen = atomic_load(&calls);

		while (atomic_load(&calls) == seen)
			sched_yield();
		CHECK(!ccr__gate_close(soon(20000)));
		CHECK(!atomic_load(&running));
		atomic_store(&is_closed, true);
		sched_yield();
		CHECK(!atomic_load(&running));
		atomic_store(&is_closed, false);
		ccr__gate_open();
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
}

static void *call_arguments(void *unused)
{
	arguments();
	return NULL;
}

/* Exactly as many calls pass the closed gate as it is told, with their arguments. */
static void admitted(void)
{
	pthread_t threads[4], caller;

	atomic_store(&stop, false);
	CHECK(!ccr__gate_close(soon(20000)));
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&threads[i], NULL, count_calls, NULL));
	for (int round = 0; round < 1000; round++) {
		const int before = atomic_load(&calls), nr = 1 + round % 5;

		ccr__gate_admit(nr, soon(20000));
		CHECK(!ccr__gate_close(soon(20000)));
		CHECK(atomic_load(&calls) == before + nr && ccr__gate_closed);
	}
	atomic_store(&stop, true);
	ccr__gate_open();
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	/* What nobody has taken is taken back. */
	CHECK(!ccr__gate_close(soon(20000)));
	ccr__gate_admit(1, soon(1));
	CHECK(!pthread_create(&caller, NULL, call_arguments, NULL));
	CHECK(!ccr__gate_close(soon(20000)));
	/* The calls of a thread that never returns from the gate but by this. */
	for (int i = 0; i < 6; i++)
		ccr__gate_admit(1, soon(20000));
	pthread_join(caller, NULL);
	CHECK(!ccr__gate_close(soon(20000)));
	ccr__gate_open();
}

#ifndef __SANITIZE_THREAD__
static atomic_int handled;

static void on_signal(int number)
{
	atomic_store(&handled, CALL(NESTED, int (*)(void))());
}

/* A signal handler that interrupts a call makes calls, also while the gate is closing. */
static void signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal};
	pthread_t caller;

	CHECK(!sigaction(SIGUSR1, &action, NULL));
	raise(SIGUSR1);
	CHECK(atomic_exchange(&handled, 0) == 11);
	caller = start_inside();
	__atomic_store_n(&ccr__gate_closed, 1, __ATOMIC_SEQ_CST);
	pthread_kill(caller, SIGUSR1);
	while (!atomic_load(&handled))
		sched_yield();
	CHECK(atomic_load(&handled) == 11);
	let_out();
	pthread_join(caller, NULL);
	CHECK(!ccr__gate_close(soon(1000)));
	ccr__gate_open();
}

static void *call_leave(void *unused)
{
	CALL(LEAVE, int (*)(void))();
	return NULL;
}

static void *wait_inside(void *unused)
{
	int type;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	CALL(INSIDE, int (*)(void))();
	return NULL;
}

static void ends_of_threads(void)
{
	pthread_t thread;
	void *result;

	CHECK(!pthread_create(&thread, NULL, call_leave, NULL));
	pthread_join(thread, &result);
	CHECK(result == (void *)5);
	CHECK(!ccr__gate_close(soon(1000)));
	ccr__gate_open();

	arrived = released = 0;
	CHECK(!pthread_create(&thread, NULL, wait_inside, NULL));
	while (!__atomic_load_n(&arrived, __ATOMIC_SEQ_CST))
		ccr__futex_wait(&arrived, 0, UINT64_MAX);
	CHECK(!pthread_cancel(thread));
	pthread_join(thread, &result);
	CHECK(result == PTHREAD_CANCELED);
	CHECK(!ccr__gate_close(soon(1000)));
	ccr__gate_open();
}

#endif

static __attribute__((noinline)) int call_trace(void)
{
	const int nr = CALL(TRACE, int (*)(void))();

	__asm__ volatile("");
	return nr;
}

static void backtraces(void)
{
	const uintptr_t caller = (uintptr_t)call_trace;
	bool found = false;

	for (uint32_t kind = CCR_KIND_OPEN; kind <= CCR_KIND_STACK; kind++) {
		ccr__slots[TRACE].kind = kind;
		CHECK(call_trace() > 2);
		found = false;
		for (int i = 0; i < nr_frames; i++)
			found |= (uintptr_t)frames[i] - caller < 64;
		CHECK(found);
	}
}

static void forks(void)
{
	pthread_t caller = start_inside();
	int status;
	pid_t child;

	__atomic_store_n(&ccr__gate_closed, 1, __ATOMIC_SEQ_CST);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		ccr__gate_reset();
		CALL(REAL, __typeof__(&real_numbers))(1, 2, 3, 4, 5, 6, 7, 8, 9);
		/* In the child, the call of the parent's other thread is not in flight. */
		_exit(ccr__gate_close(soon(1000)) ? 1 : 0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
	let_out();
	ccr__gate_open();
	pthread_join(caller, NULL);
}

int main(void)
{
	for (int i = 0; i < NR_USED; i++)
		ccr__slots[i].kind = i < INSIDE ? CCR_KIND_STACK : CCR_KIND_REGS;
	arguments();
	closing();
	many_threads();
	admitted();
#ifndef __SANITIZE_THREAD__ /* it delays signals until a call that it intercepts */
	signals();
	ends_of_threads();
#endif
	backtraces();
	forks();
	return 0;
}
