// SPDX-License-Identifier: GPL-2.0-only
/*
 * The threads that run our system calls: in the watcher, to return them to their
 * own work when criu is dead; in criu, for a watcher that takes the place of another.
 */
#ifndef CCR_PLUGIN_INJECTED_H
#define CCR_PLUGIN_INJECTED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* How many threads run our system calls at a time. */
#define MAX_INJECTED 64

/* A pair of sockets that criu makes in the process to pass a descriptor. */
struct injected_pair {
	enum { PAIR_NONE, PAIR_IN_SCRATCH, PAIR_KNOWN } state; /* where the numbers are */
	int ends[2];					       /* -1: not made yet */
};

/* What is needed to return a thread to its own work. */
struct injected {
	pid_t pid, tid;
	uint64_t gadget, scratch; /* as in struct injection; 0: there is no scratch page yet */
	bool is_bare;		  /* there will be none */
	struct injected_pair pair;
	unsigned long long sigmask;
	struct user_regs_struct regs;
};

/* Notes a thread, in place of an older record of it. Returns 0, or -EMFILE: there are too many. */
int ccr__injected_note(const struct injected *one);
/* Forgets a thread; nothing happens if there is no record of it. */
void ccr__injected_forget(pid_t tid);
/* Forgets all. */
void ccr__injected_clear(void);
/* True if a thread of the process is noted. */
bool ccr__injected_any(pid_t pid);
/* Calls `act` for each thread of the process, of all if `pid` is 0, until it fails; `act` may
 * forget no thread. Returns its result. */
int ccr__injected_for_each(pid_t pid, int (*act)(const struct injected *one));

#endif
