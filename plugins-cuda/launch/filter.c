// SPDX-License-Identifier: MIT
/*
 * CRIU cannot dump an io_uring, and programs that make one use epoll or threads when there is none.
 * Container engines answer ENOSYS as well. Nothing else is filtered.
 */
#include "launch/launch.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same on i386, x86-64 and x32, which marks its numbers with a bit. */
#define NR_IO_URING_SETUP 425
#define X32_BIT		  0x40000000U

#ifndef SECCOMP_FILTER_FLAG_SPEC_ALLOW
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW (1UL << 2)
#endif

#define LOAD(field)		 BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value)		 BPF_STMT(BPF_RET | BPF_K, value)
#define IF_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)

static struct sock_filter filter[] = {
	LOAD(arch),
#if defined(__x86_64__) || defined(__i386__)
	IF_EQUAL(AUDIT_ARCH_X86_64, 0, 2),
	LOAD(nr),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~X32_BIT),
	/* another architecture gets here with its name, which is none of these numbers */
	IF_EQUAL(AUDIT_ARCH_I386, 0, 1),
	LOAD(nr),
#else
	LOAD(nr), /* the same number on every architecture that is built for */
#endif
	IF_EQUAL(NR_IO_URING_SETUP, 0, 1),
	RETURN(SECCOMP_RET_ERRNO | ENOSYS),
	RETURN(SECCOMP_RET_ALLOW),
};

/* Without slower speculation, which older kernels ask of every filtered process. */
static int install(void)
{
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		     &program))
		return 0;
	if (errno == EINVAL && !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return 0;
	return -errno;
}

int launch_filter_io_uring(bool *gained_no_new_privs)
{
	int ret = install();

	*gained_no_new_privs = false;
	if (ret != -EACCES)
		return ret;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	*gained_no_new_privs = true;
	return install();
}
