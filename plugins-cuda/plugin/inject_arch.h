// SPDX-License-Identifier: GPL-2.0-only
/* What differs between processors: the instruction, and where a call's numbers go. */
#ifndef CCR_PLUGIN_INJECT_ARCH_H
#define CCR_PLUGIN_INJECT_ARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/user.h>

#if defined(__x86_64__)

#define INJECT_INSTRUCTION "\x0f\x05" /* syscall */
#define INJECT_ALIGN	   1

static inline void inject_set_call(struct user_regs_struct *regs, uint64_t gadget, long number,
				   const uint64_t a[6])
{
	regs->rip = gadget;
	regs->rax = number;
	regs->orig_rax = -1; /* not in a call: nothing is to be restarted */
	regs->rdi = a[0];
	regs->rsi = a[1];
	regs->rdx = a[2];
	regs->r10 = a[3];
	regs->r8 = a[4];
	regs->r9 = a[5];
}

static inline int64_t inject_result(const struct user_regs_struct *regs)
{
	return regs->rax;
}

static inline uint64_t inject_ip(const struct user_regs_struct *regs)
{
	return regs->rip;
}

#elif defined(__aarch64__)

#define INJECT_INSTRUCTION "\x01\x00\x00\xd4" /* svc #0 */
#define INJECT_ALIGN	   4

static inline void inject_set_call(struct user_regs_struct *regs, uint64_t gadget, long number,
				   const uint64_t a[6])
{
	regs->pc = gadget;
	regs->regs[8] = number;
	for (int i = 0; i < 6; i++)
		regs->regs[i] = a[i];
}

static inline int64_t inject_result(const struct user_regs_struct *regs)
{
	return regs->regs[0];
}

static inline uint64_t inject_ip(const struct user_regs_struct *regs)
{
	return regs->pc;
}

#else
#error "system calls cannot be injected on this processor"
#endif

#endif
