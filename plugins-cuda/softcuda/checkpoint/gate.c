// SPDX-License-Identifier: MIT
// The gate that Lock closes. `busy` counts API calls in progress and operations queued in streams;
// the process is idle when it is 0. Uses only atomics and futexes, because the restore thread may
// run while all other threads are stopped.
#include "softcuda/softcuda.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
	atomic_int busy, is_closed;
} gate;

static int futex_wait(atomic_int *word, int value, const struct timespec *timeout)
{
	return (int)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

static void futex_wake(atomic_int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void ccr_gate_hold(void)
{
	atomic_fetch_add(&gate.busy, 1);
}

void ccr_gate_leave(void)
{
	if (atomic_fetch_sub(&gate.busy, 1) == 1 && atomic_load(&gate.is_closed))
		futex_wake(&gate.busy);
}

void ccr_gate_enter(void)
{
	for (;;) {
		ccr_gate_hold();
		if (!atomic_load(&gate.is_closed))
			return;
		ccr_gate_leave();
		futex_wait(&gate.is_closed, 1, NULL);
	}
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

int ccr_gate_close(unsigned int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	int busy;

	atomic_store(&gate.is_closed, 1);
	while ((busy = atomic_load(&gate.busy)) != 0) {
		int64_t left = end - now_ms();
		struct timespec t = {left / 1000, left % 1000 * 1000000};

		if (timeout_ms && left <= 0) {
			ccr_gate_open();
			return -ETIMEDOUT;
		}
		futex_wait(&gate.busy, busy, timeout_ms ? &t : NULL);
	}
	return 0;
}

void ccr_gate_open(void)
{
	atomic_store(&gate.is_closed, 0);
	futex_wake(&gate.is_closed);
}
