// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs system calls in a thread that criu has stopped. Afterwards the thread has
 * the same registers, signal mask and kind of stop, so that neither criu nor the
 * task sees a difference. If criu dies in between, the guard stops the thread and
 * the watcher returns it to its work; if both die, the thread does that itself,
 * except in the calls that make and remove the scratch page. Only criu's main thread may call this,
 * because it is the tracer.
 */
#ifndef CCR_PLUGIN_INJECT_H
#define CCR_PLUGIN_INJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "plugin/trace/injected.h"

struct injection {
	pid_t pid;	 /* of the thread */
	pid_t tgid;	 /* of its process */
	uint64_t gadget; /* address of a system call instruction in the vdso */
	uint64_t call;	 /* address of the instruction in use: `gadget`, or in the resume code */
	bool has_resume_code; /* false on some processors, and where the task may not add code */
	uint64_t scratch;     /* one page in the task for arguments, then one for the resume code */
	struct user_regs_struct regs; /* the thread's own, restored at the end */
	unsigned long long sigmask;
	struct injected_pair pair; /* open sockets of ours in the task */
	int held_signal; /* a signal that arrived meanwhile and is sent again at the end; 0: none */
	const char *refusal; /* why nothing may be injected, after -ENOTSUP; otherwise NULL */
};

#define CCR_INJECT_SCRATCH 4096

/*
 * Prepares the thread `pid`. Returns 0; -ENOTSUP when this task should be left alone (it is a
 * 32-bit process, is stopped by a signal or inside a restartable sequence, or permissions are
 * missing: the log says which); or another -errno. On failure the task is as before.
 */
int ccr__inject_begin(struct injection *in, pid_t pid);
/* Runs one system call. Returns 0 with the call's own result (>= 0 or -errno) in `result`, or
 * -errno when the task ended or does not respond. */
int ccr__inject_call(struct injection *in, int64_t *result, long number,
		     const uint64_t arguments[6]);
/* The same in two steps, for several threads at once. Every start needs its finish. */
int ccr__inject_start(struct injection *in, long number, const uint64_t arguments[6]);
int ccr__inject_finish(struct injection *in, int64_t *result);
/* Ends the injection, also after a call failed: the task is as before. Returns 0 or -errno, as
 * ccr__inject_leave does. */
int ccr__inject_end(struct injection *in);

/* In the watcher: returns a thread to its own work whose criu died during an injection. The thread
 * is stopped as by ccr__seize. Returns 0 or -errno. */
int ccr__inject_recover(const struct injected *injected);

/* ---- the steps of ccr__inject_begin and ccr__inject_end without a scratch page; see crew.h ----
 */

/* Reads what an injection needs. Changes nothing. `known`: one of another thread of the process,
 * for what they have in common, or NULL. Returns as ccr__inject_begin does. */
int ccr__inject_look(struct injection *in, pid_t tid, const struct injection *known);
/* What the watcher has to know before the thread is changed. */
struct injected ccr__inject_record(const struct injection *in);
/* Blocks its signals: it may run system calls now. Returns 0, -ENOTSUP or another -errno. */
int ccr__inject_enter(struct injection *in);
/* Returns the thread to where it was. Returns 0; or -errno, and its process was killed: it must not
 * run with registers of ours. */
int ccr__inject_leave(struct injection *in);
/* Signals that ask criu to end wait: a thread must not be left inside a call of ours. Every call
 * with true needs one with false. */
void ccr__inject_defer_signals(bool is_wanted);

/*
 * Duplicates `fd` into the task, close-on-exec. Sets `task_fd` to its number there, or to the
 * -errno of why the task did not get it. Returns 0, or -errno as ccr__inject_call does.
 */
int ccr__inject_fd(struct injection *in, int fd, int *task_fd);

/* Closes what an earlier criu left in the task when it was killed: descriptors of page files, and
 * the sockets of `in->pair`. Returns 0 or -errno. */
int ccr__inject_close_leftovers(struct injection *in);

#endif
