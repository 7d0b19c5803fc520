// SPDX-License-Identifier: MIT
#include "intercept/keeper/thread.h"
#include "intercept/keeper/raw.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* The number of a thread that has ended may be used again. */
#define MAX_YIELDS 100000

pid_t ccr__keeper_thread_start(int (*run)(void *), char *stack, void *argument, uint32_t *is_alive)
{
	const long flags = CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
			   CLONE_CHILD_CLEARTID;
	const uint64_t all = ~0ull;
	uint64_t before;
	long tid;

	*is_alive = 1;
	/* Raw, because the C library would leave out the signals that it uses itself. */
	ccr__raw(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	tid = ccr__raw_clone(run, stack + CCR__KEEPER_STACK, flags, argument, is_alive);
	ccr__raw(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(all));
	return tid;
}

void ccr__keeper_thread_wait(uint32_t *word, uint32_t value)
{
	/* Not FUTEX_WAIT_PRIVATE: the kernel announces the end of a thread as if to other
	 * processes. */
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		ccr__raw(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL);
}

void ccr__keeper_thread_gone(pid_t tid)
{
	for (int i = 0; i < MAX_YIELDS && !ccr__raw(SYS_tgkill, getpid(), tid, 0); i++)
		sched_yield();
}
