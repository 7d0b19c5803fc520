// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls in a thread that criu has stopped. Registers, signal mask and the
 * kind of stop are afterwards what they were, so that neither criu nor the task
 * sees a difference; and where criu dies in between, the thread finds its way
 * back by itself. Only for the main thread of criu, which is the tracer.
 */
#ifndef CCR_PLUGIN_INJECT_H
#define CCR_PLUGIN_INJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct injection {
	pid_t pid;		      /* of the thread */
	uint64_t gadget;	      /* address of the instruction, in the vdso */
	uint64_t call;		      /* the one that is used, with the way back behind it */
	bool has_way_back;	      /* not on every processor, nor where no code may be added */
	uint64_t scratch;	      /* one page of the task's, for arguments */
	struct user_regs_struct regs; /* what it had, and gets back */
	unsigned long long sigmask;
	int held_signal; /* arrived meanwhile, sent again at the end; 0: none */
};

#define CCR_INJECT_SCRATCH 4096

/*
 * `pid`: of a thread. 0, or -ENOTSUP when this task is better left alone (32 bits, stopped by a
 * signal, inside a restartable sequence, no right to, …; the log says why), or -errno. On
 * failure the task is as before.
 */
int ccr__inject_begin(struct injection *in, pid_t pid);
/* 0 with the call's own result (>= 0 or -errno) in `result`; -errno: the task ended or misbehaves.
 */
int ccr__inject_call(struct injection *in, int64_t *result, long number,
		     const uint64_t arguments[6]);
/* The same in two steps, for several threads at once; both are needed, in this order. */
int ccr__inject_start(struct injection *in, long number, const uint64_t arguments[6]);
int ccr__inject_finish(struct injection *in, int64_t *result);
/* The task is as before; also after a call failed. 0 or -errno. */
int ccr__inject_end(struct injection *in);

/*
 * A duplicate of `fd` in the task, close-on-exec: `task_fd` is its number there, or the -errno of
 * what the task was not given. 0, or -errno as of ccr__inject_call.
 */
int ccr__inject_fd(struct injection *in, int fd, int *task_fd);

/* Closes descriptors of page files that a criu, killed in the middle, left in the task. 0 or
 * -errno. */
int ccr__inject_close_left(struct injection *in);

#endif
