// SPDX-License-Identifier: MIT
/*
 * LD_PRELOAD library for tests: with CCR_FAIL_PTRACE=N, the Nth
 * ptrace(PTRACE_SYSCALL, …) of a process fails with EIO, counted from 1, as if
 * the task had died. "N:kill" kills the calling process there instead; not the
 * watcher, which is a fork of criu. With
 * "seccomp" filters cannot be suspended, as without CAP_SYS_ADMIN. With "seize"
 * the first attempt to seize criu's second process fails. With "thread:N" the first
 * N attempts to seize a thread that is not the first of its process fail, as if
 * something else traced it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* True the second time that a thread group leader is seized. */
static bool is_second_seize(enum __ptrace_request request, pid_t pid)
{
	static atomic_uint seized;

	return request == PTRACE_SEIZE && !syscall(SYS_tgkill, pid, pid, 0) &&
	       atomic_fetch_add(&seized, 1) == 1;
}

static bool is_seized_thread(enum __ptrace_request request, pid_t pid, const char *which)
{
	static atomic_ulong seized;

	return request == PTRACE_SEIZE && !strncmp(which, "thread:", 7) &&
	       syscall(SYS_tgkill, pid, pid, 0) &&
	       atomic_fetch_add(&seized, 1) < strtoul(which + 7, NULL, 10);
}

static bool is_watcher(void)
{
	char name[16] = "";

	return !prctl(PR_GET_NAME, name) && !strcmp(name, "cuda-watcher");
}

__attribute__((visibility("default"))) long ptrace(enum __ptrace_request request, ...)
{
	static long (*real)(enum __ptrace_request, ...);
	static atomic_ulong calls;
	const char *which = getenv("CCR_FAIL_PTRACE");
	void *address, *data;
	va_list args;
	pid_t pid;

	va_start(args, request);
	pid = va_arg(args, pid_t);
	address = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);
	if (request == PTRACE_SYSCALL && which && !is_watcher() &&
	    atomic_fetch_add(&calls, 1) + 1 == strtoul(which, NULL, 10)) {
		if (strstr(which, ":kill"))
			raise(SIGKILL);
		errno = EIO;
		return -1;
	}
	if (request == PTRACE_SETOPTIONS && which && !strcmp(which, "seccomp") &&
	    (uintptr_t)data & PTRACE_O_SUSPEND_SECCOMP) {
		errno = EPERM;
		return -1;
	}
	if (which && ((!strcmp(which, "seize") && !is_watcher() && is_second_seize(request, pid)) ||
		      is_seized_thread(request, pid, which))) {
		errno = EPERM;
		return -1;
	}
	if (!real)
		real = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
	return real(request, pid, address, data);
}
