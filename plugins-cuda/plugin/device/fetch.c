// SPDX-License-Identifier: GPL-2.0-only
/*
 * The thread runs one system call for us, socketpair, whose result goes to its
 * mailbox; we take one end with pidfd_getfd before it runs again. Nothing has a
 * name or an owner that a container or another user could use, and the
 * application's own seccomp filter is suspended for the call.
 */
#include "plugin/device/fetch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/protocol/mailbox.h"
#include "common/protocol/protocol.h"
#include "common/protocol/unix_socket.h"
#include "plugin/inject/inject.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/restore_thread.h"

#define EVENT_OF(status) ((status) >> 16)
#define RETRY_MS	 10

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* ---- the thread is stopped ---- */

static int read_mailbox(pid_t pid, struct ccr_mailbox *mailbox, uint64_t *address)
{
	const int ret = ccr_mailbox_read(pid, mailbox, address);

	if (ret) {
		ccr_err("%d: cannot read the mailbox of its interceptor: %s%s", pid, strerror(-ret),
			ret == -ENOENT ? "; install the interceptor of this version, and start the "
					 "program again"
				       : "");
		return ret;
	}
	if (ccr_protocol_is_supported(mailbox->protocol))
		return 0;
	ccr_err("%d: its interceptor speaks protocol %u, this version understands %s; "
		"install the interceptor of this version, and start the program again",
		pid, mailbox->protocol, ccr_protocol_range());
	return -EPROTONOSUPPORT;
}

/* The kernel may have written to the mailbox before the call failed. */
static void clear_ends(pid_t pid, uint64_t address)
{
	uint64_t none = CCR_MAILBOX_NO_ENDS;
	const struct iovec local = {&none, sizeof(none)};
	const struct iovec remote = {(void *)(uintptr_t)address, sizeof(none)};

	if (process_vm_writev(pid, &local, 1, &remote, 1, 0) != sizeof(none))
		ccr_err("%d: cannot write to its mailbox: %s", pid, strerror(errno));
}

static int inject_pair(pid_t pid, pid_t tid, uint64_t address)
{
	const uint64_t arguments[6] = {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, address};
	struct injection in;
	int64_t result = 0;
	int ret = ccr__inject_begin(&in, tid), ended;

	if (ret)
		return ret;
	ret = ccr__inject_call(&in, &result, SYS_socketpair, arguments);
	if (!ret && result < 0) {
		ret = result;
		clear_ends(pid, address);
	}
	ended = ccr__inject_end(&in);
	return ret ? ret : ended;
}

static int take_end(pid_t pid, int number)
{
	const int pidfd = syscall(SYS_pidfd_open, pid, 0);
	const int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	int ret = fd < 0 ? -errno : fd;

	if (pidfd >= 0)
		close(pidfd);
	/* The number comes from the memory of the task, so what it names may be anything. */
	if (fd >= 0 && !ccr_socket_is_seqpacket(fd)) {
		close(fd);
		ret = -EPROTO;
	}
	return ret;
}

static int fetch_stopped(const struct task *task)
{
	struct ccr_mailbox mailbox;
	uint64_t address = 0;
	int ret = read_mailbox(task->pid, &mailbox, &address);

	address += offsetof(struct ccr_mailbox, ends);
	if (!ret && mailbox.ends == CCR_MAILBOX_NO_ENDS) {
		ret = inject_pair(task->pid, task->service_tid, address);
		if (!ret)
			ret = ccr_mailbox_read(task->pid, &mailbox, NULL);
	}
	return ret ? ret : take_end(task->pid, mailbox.end[0]);
}

/* ---- the thread runs ---- */

/* Waits for the stop that we asked for. Returns 0 or -errno. */
static int wait_stop(pid_t tid, double deadline)
{
	int status;

	for (;;) {
		const pid_t got = waitpid(tid, &status, __WALL | WNOHANG);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == tid && !WIFSTOPPED(status))
			return -ESRCH;
		if (got == tid && EVENT_OF(status) == PTRACE_EVENT_STOP)
			return WSTOPSIG(status) == SIGTRAP ? 0 : -EBUSY;
		if (got == tid && ptrace(PTRACE_CONT, tid, NULL, WSTOPSIG(status)))
			return -errno;
		if (got <= 0 && ccr__now_ms() > deadline)
			return -ETIMEDOUT;
		if (got <= 0)
			pause_ms(1);
	}
}

static int fetch_running(const struct task *task, double deadline)
{
	const pid_t tid = task->service_tid;
	int ret;

	if (ptrace(PTRACE_SEIZE, tid, NULL, ccr__seize_options()))
		return -errno;
	ret = ptrace(PTRACE_INTERRUPT, tid, NULL, 0) ? -errno : wait_stop(tid, deadline);
	if (!ret)
		ret = fetch_stopped(task);
	ptrace(PTRACE_DETACH, tid, NULL, 0);
	return ret;
}

/* Stopped by a signal; nothing can be injected where it is; criu is ending and still traces it. */
static bool is_worth_a_retry(int ret)
{
	return ret == -EBUSY || ret == -ENOTSUP || ret == -EPERM;
}

static const char *reason(const struct task *task, int ret)
{
	const char *why = ccr__why_ended(task->pid);

	if (why)
		return why;
	if (ret == -EBUSY)
		return "it is stopped by a signal; send SIGCONT";
	if (ret == -EPERM)
		return "another process traces it; end that debugger or tracer";
	return strerror(-ret);
}

int ccr__fetch(const struct task *task)
{
	const long timeout = ccr__plugin.settings.lock_timeout_ms;
	const double deadline = ccr__now_ms() + timeout;
	int ret;

	if (ccr__tracer_of(task->service_tid) == getpid()) {
		ret = fetch_stopped(task);
	} else {
		ret = fetch_running(task, deadline);
		while (is_worth_a_retry(ret) && !ccr__has_ended(task->pid) &&
		       ccr__now_ms() < deadline) {
			pause_ms(RETRY_MS);
			ret = fetch_running(task, deadline);
		}
	}
	if (ret < 0)
		ccr_err("%d: cannot connect to its service thread %d within "
			"CRIU_CUDA_LOCK_TIMEOUT_MS = %ld: %s",
			task->pid, task->service_tid, timeout, reason(task, ret));
	return ret;
}

bool ccr__fetch_is_pending(const struct task *task)
{
	struct ccr_mailbox mailbox;

	return !ccr_mailbox_read(task->pid, &mailbox, NULL) && mailbox.ends != CCR_MAILBOX_NO_ENDS;
}
