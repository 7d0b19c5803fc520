// SPDX-License-Identifier: GPL-2.0-only
/*
 * We use PTRACE_SYSCALL stops instead of single steps because they raise no
 * signal, so the task's handlers and dispositions are not affected. The last
 * stop is a PTRACE_INTERRUPT stop, which the kernel makes before it restarts an
 * interrupted system call; the registers that we restore there keep their
 * meaning.
 */
#include "plugin/inject/inject.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/inject/arch.h"
#include "plugin/inject/target.h"
#include "plugin/task/state.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/restore_thread.h"
#include "plugin/trace/tracee.h"
#include "plugin/watch/watcher_link.h"

#define SCRATCH_PAGES	 2
#define SYSCALL_SIGNAL	 (SIGTRAP | 0x80) /* with PTRACE_O_TRACESYSGOOD */
#define EVENT_OF(status) ((status) >> 16)

static int failed(pid_t pid, const char *what)
{
	const int ret = -errno;

	ccr_warn("%d: cannot %s: %s", pid, what, strerror(-ret));
	return ret ? ret : -EIO;
}

/* Nothing may be injected into this thread. */
static int refuse(struct injection *in, const char *why)
{
	in->refusal = why;
	return -ENOTSUP;
}

static int get_regs(pid_t pid, struct user_regs_struct *regs, size_t *size)
{
	struct iovec iov = {regs, sizeof(*regs)};

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov))
		return failed(pid, "read registers");
	*size = iov.iov_len;
	return 0;
}

static int set_regs(pid_t pid, const struct user_regs_struct *regs)
{
	struct iovec iov = {(void *)regs, sizeof(*regs)};

	return ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov) ? failed(pid, "set registers") : 0;
}

static int wait_stop(pid_t pid, int *status)
{
	const int ret = ccr__wait_stop(pid, status);

	if (ret)
		ccr_err("%d does not stop after a system call of ours: %s", pid, strerror(-ret));
	return ret;
}

/* Resumes the thread until its next stop at a system call, */
static int run_to_syscall(struct injection *in)
{
	return ptrace(PTRACE_SYSCALL, in->pid, NULL, 0)
		       ? failed(in->pid, "continue to a system call")
		       : 0;
}

/* and waits for that stop. */
static int wait_syscall(struct injection *in)
{
	for (;;) {
		int status, ret;

		ret = wait_stop(in->pid, &status);
		if (ret || WSTOPSIG(status) == SYSCALL_SIGNAL)
			return ret;
		/* SIGSTOP cannot be blocked; it is sent again when we are done. */
		if (!EVENT_OF(status))
			in->held_signal = WSTOPSIG(status);
		ret = run_to_syscall(in);
		if (ret)
			return ret;
	}
}

int ccr__inject_start(struct injection *in, long number, const uint64_t arguments[6])
{
	struct user_regs_struct regs = in->regs;
	int ret;

	inject_set_call(&regs, in->call, number, arguments);
	ret = set_regs(in->pid, &regs);
	if (!ret)
		ret = run_to_syscall(in); /* stops when the call is entered */
	if (!ret)
		ret = wait_syscall(in);
	return ret ? ret : run_to_syscall(in); /* stops when the call returns */
}

int ccr__inject_finish(struct injection *in, int64_t *result)
{
	struct user_regs_struct regs;
	size_t size;
	int ret;

	ret = wait_syscall(in);
	if (!ret)
		ret = get_regs(in->pid, &regs, &size);
	if (!ret)
		*result = inject_result(&regs);
	return ret;
}

int ccr__inject_call(struct injection *in, int64_t *result, long number,
		     const uint64_t arguments[6])
{
	const int ret = ccr__inject_start(in, number, arguments);

	return ret ? ret : ccr__inject_finish(in, result);
}

/* Brings the thread from any stop to the kind of stop in which criu left it. */
static int stop_again(struct injection *in)
{
	int status, ret;

	if (ptrace(PTRACE_INTERRUPT, in->pid, NULL, 0))
		return failed(in->pid, "interrupt the thread");
	do {
		if (ptrace(PTRACE_CONT, in->pid, NULL, 0))
			return failed(in->pid, "continue the thread");
		ret = wait_stop(in->pid, &status);
		if (ret)
			return ret;
		if (!EVENT_OF(status))
			in->held_signal = WSTOPSIG(status);
	} while (EVENT_OF(status) != PTRACE_EVENT_STOP);
	return 0;
}

static int unmap_scratch(struct injection *in)
{
	const uint64_t arguments[6] = {in->scratch, SCRATCH_PAGES * CCR_INJECT_SCRATCH};
	int64_t result;

	in->call = in->gadget;
	return ccr__inject_call(in, &result, SYS_munmap, arguments);
}

/* A thread that does not have its own registers or signal mask must never run. */
static void end_process(const struct injection *in, int error)
{
	if (in->tgid <= 0 || ccr__has_ended(in->tgid))
		return;
	ccr_err("killing %d: its thread %d cannot return to its own work: %s", in->tgid, in->pid,
		strerror(-error));
	kill(in->tgid, SIGKILL);
}

int ccr__inject_leave(struct injection *in)
{
	int ret = stop_again(in);

	if (!ret)
		ret = set_regs(in->pid, &in->regs);
	if (!ret && ptrace(PTRACE_SETSIGMASK, in->pid, sizeof(in->sigmask), &in->sigmask))
		ret = failed(in->pid, "restore the signal mask");
	if (ret)
		end_process(in, ret);
	else if (in->held_signal)
		ccr__send_kept(in->pid, in->held_signal);
	return ret;
}

void ccr__inject_defer_signals(bool is_wanted)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	static unsigned int depth; /* injections in progress */
	static sigset_t before;
	sigset_t deferred;

	if (!is_wanted && --depth)
		return;
	if (!is_wanted) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		return;
	}
	if (depth++)
		return;
	sigemptyset(&deferred);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&deferred, signals[i]);
	sigprocmask(SIG_BLOCK, &deferred, &before);
}

static int announce(const struct injection *in)
{
	const struct injected injected = ccr__inject_record(in);

	return ccr__watcher_injected(&injected, 1);
}

/* Nothing of ours is left in the thread. */
static void finish(struct injection *in)
{
	ccr__watcher_injection_ended(&in->pid, 1);
	ccr__inject_defer_signals(false);
}

int ccr__inject_end(struct injection *in)
{
	const int unmapped = unmap_scratch(in), ret = ccr__inject_leave(in);

	finish(in);
	return ret ? ret : unmapped;
}

int ccr__inject_recover(const struct injected *injected)
{
	struct injection in = {.pid = injected->tid,
			       .tgid = injected->pid,
			       .gadget = injected->gadget,
			       .scratch = injected->scratch,
			       .pair = injected->pair,
			       .sigmask = injected->sigmask,
			       .regs = injected->regs};
	struct user_regs_struct now;
	size_t size;
	int ret = 0;

	if (ccr__set_ptrace_options(in.pid))
		return failed(in.pid, "set its ptrace options");
	/* The call that maps the scratch page may have returned without a criu that took the
	 * result. */
	if (!injected->is_bare && !in.scratch && !get_regs(in.pid, &now, &size) &&
	    inject_ip(&now) == in.gadget + sizeof(INJECT_INSTRUCTION) - 1 &&
	    inject_result(&now) > 0)
		in.scratch = inject_result(&now);
	in.call = in.gadget;
	if (in.scratch) {
		ret = ccr__inject_close_leftovers(&in);
		if (!ret)
			ret = unmap_scratch(&in);
	}
	return ret ? ret : ccr__inject_leave(&in);
}

int ccr__inject_look(struct injection *in, pid_t tid, const struct injection *known)
{
	siginfo_t info;
	size_t size;
	int ret;

	*in = (struct injection){.pid = tid, .tgid = ccr__process_of(tid)};
	if (ptrace(PTRACE_GETSIGINFO, tid, NULL, &info))
		return failed(tid, "read why it is stopped");
	/* criu leaves a task interrupted, or at the end of code that criu itself ran in it. */
	if (info.si_signo != SIGTRAP || info.si_code <= 0)
		return refuse(in, "it is stopped by a signal");
	ret = get_regs(tid, &in->regs, &size);
	if (ret)
		return ret;
	if (size != sizeof(in->regs))
		return refuse(in, "it is a 32-bit process");
	if (ccr__inject_in_rseq(tid, inject_ip(&in->regs)))
		return refuse(in, "it is stopped inside a restartable sequence");
	/* To find it takes all mappings. */
	in->gadget = known ? known->gadget : ccr__inject_gadget(tid);
	in->call = in->gadget;
	if (!in->gadget)
		return refuse(in, "its vdso has no system call instruction");
	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(in->sigmask), &in->sigmask))
		return refuse(in, "cannot read its signal mask");
	return 0;
}

struct injected ccr__inject_record(const struct injection *in)
{
	return (struct injected){.pid = in->tgid,
				 .tid = in->pid,
				 .gadget = in->gadget,
				 .scratch = in->scratch,
				 .pair = in->pair,
				 .sigmask = in->sigmask,
				 .regs = in->regs};
}

int ccr__inject_enter(struct injection *in)
{
	const unsigned long long blocked = ~0ULL;

	if (ccr__set_ptrace_options(in->pid))
		return refuse(in, "cannot set its ptrace options");
	if (ptrace(PTRACE_SETSIGMASK, in->pid, sizeof(blocked), &blocked))
		return refuse(in, "cannot block its signals");
	return 0;
}

/*
 * Puts the resume code in the second scratch page and uses the system call in
 * it from now on. Not possible where the task may not add code; if criu then dies
 * during a call, the task dies too, as it does in criu's own parasite code.
 */
static int make_resume_code(struct injection *in)
{
	const uint64_t at = in->scratch + CCR_INJECT_SCRATCH;
	const uint64_t arguments[6] = {at, CCR_INJECT_SCRATCH, PROT_READ | PROT_EXEC};
	const uint64_t none[6] = {0};
	uint8_t code[256];
	const size_t size = inject_resume_code(code, at, &in->regs, in->sigmask);
	const struct iovec local = {code, size}, remote = {(void *)(uintptr_t)at, size};
	int64_t result;
	int ret;

	if (!size || process_vm_writev(in->pid, &local, 1, &remote, 1, 0) != (ssize_t)size)
		return 0;
	ret = ccr__inject_call(in, &result, SYS_mprotect, arguments);
	if (ret || result)
		return ret;
	in->call = at + INJECT_RESUME_CALL;
	in->has_resume_code = true;
	return ccr__inject_call(in, &result, SYS_getpid, none); /* the thread now stops there */
}

static int make_scratch(struct injection *in)
{
	const uint64_t arguments[6] = {0,
				       SCRATCH_PAGES * CCR_INJECT_SCRATCH,
				       PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS,
				       -1,
				       0};
	int64_t result;
	int ret = ccr__inject_call(in, &result, SYS_mmap, arguments);

	if (!ret && result < 0)
		ret = result;
	if (ret)
		return ret;
	in->scratch = result;
	return announce(in);
}

/* From here on the thread is changed, and a dead criu stops it. */
static int begin(struct injection *in)
{
	int ret;

	if (ccr__watcher_guard(in->pid, true))
		return refuse(in, "it cannot be guarded");
	ccr__inject_defer_signals(true);
	ret = announce(in);
	if (!ret)
		ret = ccr__inject_enter(in);
	if (ret) {
		finish(in);
		return ret;
	}
	ret = make_scratch(in);
	if (ret) {
		ccr__inject_leave(in);
		finish(in);
		return ret;
	}
	ret = make_resume_code(in);
	if (ret)
		ccr__inject_end(in);
	return ret;
}

int ccr__inject_begin(struct injection *in, pid_t pid)
{
	int ret = ccr__inject_look(in, pid, NULL);

	if (!ret)
		ret = begin(in);
	if (ret == -ENOTSUP && in->refusal)
		ccr_warn("%d: host memory is left to CRIU: %s", pid, in->refusal);
	return ret;
}
