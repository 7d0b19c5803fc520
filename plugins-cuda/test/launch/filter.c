// SPDX-License-Identifier: MIT
/* What the filter of criu-cuda-run refuses, by every way into the kernel, and what it leaves. */
#include "launch/launch.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/check.h"

enum { IO_URING_SETUP = 425, X32_BIT = 0x40000000, NOBODY = 65534 };

/* 0, or the errno of the call with arguments that are wrong: never a ring. */
static int setup(long number)
{
	return syscall(number, 4, NULL) < 0 ? errno : 0;
}

#ifdef __x86_64__
static long call_i386(long number, long argument)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(argument), "c"(0L), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

enum { I386_GETPID = 20 };

static void check_i386(void)
{
	if (call_i386(I386_GETPID, 0) != getpid()) {
		printf("this kernel has no i386 calls\n");
		return;
	}
	CHECK(call_i386(IO_URING_SETUP, 4) == -ENOSYS);
	CHECK(call_i386(I386_GETPID, 0) == getpid());
}
#else
static void check_i386(void)
{
}
#endif

static int mode_of_self(void)
{
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
}

/* A program's own filter on top of ours. */
static int refuse_getppid(void)
{
	struct sock_filter own[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDOM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, own};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ? -errno : 0;
}

/* Of the neighbor of what is filtered. */
static int enter(void)
{
	return syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0) < 0 ? errno : 0;
}

static void check_filtered(bool is_privileged)
{
	const int before = enter();
	bool gained;

	CHECK(!launch_filter_io_uring(&gained));
	CHECK(gained == !is_privileged);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == !is_privileged);
	CHECK(mode_of_self() == SECCOMP_MODE_FILTER);
	CHECK(setup(IO_URING_SETUP) == ENOSYS);
	CHECK(setup(IO_URING_SETUP | X32_BIT) == ENOSYS);
	check_i386();
	CHECK(enter() == before);
	/* what programs use instead */
	CHECK(syscall(SYS_epoll_create1, 0) >= 0);
	CHECK(!refuse_getppid());
	CHECK(syscall(SYS_getppid) < 0 && errno == EDOM);
	CHECK(setup(IO_URING_SETUP) == ENOSYS);
}

/* In a process of its own: a filter stays. */
static void in_child(bool is_privileged)
{
	int status;

	if (!fork()) {
		failures = 0;
		if (!is_privileged && !geteuid())
			CHECK(!setgid(NOBODY) && !setuid(NOBODY));
		check_filtered(is_privileged);
		fflush(stdout);
		_exit(failures != 0);
	}
	CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &(unsigned int){SECCOMP_RET_ERRNO})) {
		printf("this kernel has no seccomp filters: %s\n", strerror(errno));
		return 77;
	}
	if (!geteuid())
		in_child(true);
	in_child(false);
	return failures != 0;
}
