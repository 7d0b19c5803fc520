// SPDX-License-Identifier: MIT
/*
 * The slow path of the gate; the stubs are in gate_<machine>.S. It runs in any
 * thread that makes a driver call, also inside signal handlers and while the
 * process exits: it uses only atomics and futexes, and keeps errno.
 */
#include "intercept/gate/gate.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NR_COUNTERS 64

uint32_t ccr__gate_closed __attribute__((visibility("hidden")));
__thread struct ccr__gate_thread ccr__gate_thread
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

static struct {
	struct {
		uint32_t count;
	} __attribute__((aligned(64))) counters[NR_COUNTERS];
	uint32_t next_counter;
	uint32_t drained; /* changes whenever a call ends while the gate is closed */
	uint32_t permits; /* calls that may pass although it is closed */
} gate;

int ccr__gate_slow(struct ccr__slot *slot);
void ccr__gate_left(void);
int ccr__gate_personality(int version, int actions, uint64_t class, void *exception, void *context);

uint64_t ccr__now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

int ccr__futex_wait(uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
	struct timespec timeout, *limit = NULL;

	if (deadline_ns != UINT64_MAX) {
		const uint64_t now = ccr__now_ns();

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		timeout.tv_sec = (deadline_ns - now) / 1000000000;
		timeout.tv_nsec = (deadline_ns - now) % 1000000000;
		limit = &timeout;
	}
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, limit, NULL, 0);
	return 0; /* the next call notices a timeout */
}

void ccr__futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void ccr__gate_left(void)
{
	const int saved_errno = errno;

	__atomic_add_fetch(&gate.drained, 1, __ATOMIC_SEQ_CST);
	ccr__futex_wake(&gate.drained);
	errno = saved_errno;
}

/* Counts the call first: who takes the permits back afterwards sees it in the sum. */
static bool take_permit(uint32_t *count)
{
	uint32_t left;

	__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
	left = __atomic_load_n(&gate.permits, __ATOMIC_SEQ_CST);
	while (left)
		if (__atomic_compare_exchange_n(&gate.permits, &left, left - 1, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			ccr__futex_wake(&gate.permits);
			return true;
		}
	__atomic_sub_fetch(count, 1, __ATOMIC_SEQ_CST);
	ccr__gate_left();
	return false;
}

/*
 * Provides what a stub needs before it can try again: its counter, its target, an open gate.
 * Returns 1 if the call was let through a closed gate, and is counted.
 */
int ccr__gate_slow(struct ccr__slot *slot)
{
	struct ccr__gate_thread *self = &ccr__gate_thread;
	const int saved_errno = errno;

	if (!self->count) {
		const uint32_t mine = __atomic_fetch_add(&gate.next_counter, 1, __ATOMIC_RELAXED);

		self->count = &gate.counters[mine % NR_COUNTERS].count;
	}
	if (!__atomic_load_n(&slot->target, __ATOMIC_ACQUIRE))
		ccr__slot_resolve(slot);
	if (!self->depth && __atomic_load_n(&ccr__gate_closed, __ATOMIC_SEQ_CST)) {
		uint32_t closed;

		ccr__gate_left(); /* this call had counted itself */
		while ((closed = __atomic_load_n(&ccr__gate_closed, __ATOMIC_SEQ_CST))) {
			if (slot->kind != CCR_KIND_OPEN &&
			    __atomic_load_n(&gate.permits, __ATOMIC_SEQ_CST) &&
			    take_permit(self->count)) {
				errno = saved_errno;
				return 1;
			}
			ccr__futex_wait(&ccr__gate_closed, closed, UINT64_MAX);
		}
	}
	errno = saved_errno;
	return 0;
}

/*
 * Runs when an exception or the end of a canceled thread unwinds through a stub:
 * the call is over. Only stubs that count have this personality routine, and only
 * while `depth` is set have they counted. The constants are those of the Itanium
 * C++ ABI.
 */
int ccr__gate_personality(int version, int actions, uint64_t class, void *exception, void *context)
{
	enum { CLEANUP_PHASE = 2, CONTINUE_UNWIND = 8 };
	struct ccr__gate_thread *self = &ccr__gate_thread;

	(void)version, (void)class, (void)exception, (void)context;
	if ((actions & CLEANUP_PHASE) && self->depth) {
		self->depth = 0;
		__atomic_sub_fetch(self->count, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&ccr__gate_closed, __ATOMIC_SEQ_CST))
			ccr__gate_left();
	}
	return CONTINUE_UNWIND;
}

static bool is_drained(void)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < NR_COUNTERS; i++)
		sum |= __atomic_load_n(&gate.counters[i].count, __ATOMIC_SEQ_CST);
	return !sum;
}

int ccr__gate_close(uint64_t deadline_ns)
{
	uint32_t open = 0;

	__atomic_compare_exchange_n(&ccr__gate_closed, &open, 1, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	for (;;) {
		const uint32_t seen = __atomic_load_n(&gate.drained, __ATOMIC_SEQ_CST);

		if (is_drained())
			return 0;
		if (ccr__futex_wait(&gate.drained, seen, deadline_ns))
			return -ETIMEDOUT;
	}
}

void ccr__gate_admit(uint32_t calls, uint64_t deadline_ns)
{
	uint32_t left;

	__atomic_store_n(&gate.permits, calls, __ATOMIC_SEQ_CST);
	/* Another value, which is not 0, so that no thread falls asleep now. */
	__atomic_add_fetch(&ccr__gate_closed, 2, __ATOMIC_SEQ_CST);
	ccr__futex_wake(&ccr__gate_closed);
	while ((left = __atomic_load_n(&gate.permits, __ATOMIC_SEQ_CST)))
		if (ccr__futex_wait(&gate.permits, left, deadline_ns))
			break;
	__atomic_store_n(&gate.permits, 0, __ATOMIC_SEQ_CST);
}

void ccr__gate_open(void)
{
	__atomic_store_n(&ccr__gate_closed, 0, __ATOMIC_SEQ_CST);
	ccr__futex_wake(&ccr__gate_closed);
}

void ccr__gate_reset(void)
{
	for (size_t i = 0; i < NR_COUNTERS; i++)
		gate.counters[i].count = 0;
	gate.permits = 0;
	ccr__gate_closed = 0;
}
