// SPDX-License-Identifier: GPL-2.0-only
/* What depends on the processor: the system call instruction, and the registers of a call. */
#ifndef CCR_PLUGIN_INJECT_ARCH_H
#define CCR_PLUGIN_INJECT_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/user.h>

#if defined(__x86_64__)

#define INJECT_INSTRUCTION "\x0f\x05" /* syscall */
#define INJECT_ALIGN	   1

static inline void inject_set_call(struct user_regs_struct *regs, uint64_t gadget, long number,
				   const uint64_t a[6])
{
	regs->rip = gadget;
	regs->rax = number;
	regs->orig_rax = -1; /* not in a call: the kernel must not restart one */
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

/* Results of an interrupted call that the kernel never shows to a program; see linux/errno.h. */
enum { INJECT_RESTART = -512, INJECT_RESTART_LAST = -514, INJECT_RESTART_BLOCK = -516 };

static inline uint8_t *inject_emit(uint8_t *code, const char *opcode, size_t size, uint64_t value)
{
	memcpy(code, opcode, size);
	memcpy(code + size, &value, sizeof(value));
	return code + size + sizeof(value);
}

/*
 * Writes the code for address `at`: one system call, then code for a thread that
 * is no longer traced, which restores the signal mask and the registers and
 * continues the interrupted call. No instruction changes a flag or writes to
 * memory. Returns the size in bytes, or 0 where there is no such code.
 */
static inline size_t inject_resume_code(uint8_t *code, uint64_t at,
					const struct user_regs_struct *regs, uint64_t sigmask)
{
	static const char set_mask[] = "\xb8\x0e\x00\x00\x00"	   /* mov $rt_sigprocmask, %eax */
				       "\xbf\x02\x00\x00\x00"	   /* mov $SIG_SETMASK, %edi */
				       "\xba\x00\x00\x00\x00"	   /* mov $0, %edx */
				       "\x41\xba\x08\x00\x00\x00"; /* mov $8, %r10d */
	const bool was_in_call = (int64_t)regs->orig_rax >= 0;
	const int64_t result = regs->rax;
	uint64_t rip = regs->rip, rax = regs->rax;
	uint8_t *end = code + 16;

	if (was_in_call && result <= INJECT_RESTART && result >= INJECT_RESTART_LAST) {
		rax = regs->orig_rax;
		rip -= sizeof(INJECT_INSTRUCTION) - 1;
	} else if (was_in_call && result == INJECT_RESTART_BLOCK) {
		rax = SYS_restart_syscall;
		rip -= sizeof(INJECT_INSTRUCTION) - 1;
	}
	memcpy(code, &sigmask, sizeof(sigmask));
	memcpy(code + 8, &rip, sizeof(rip));
	memcpy(end, INJECT_INSTRUCTION, 2);
	memcpy(end + 2, set_mask, sizeof(set_mask) - 1);
	end = inject_emit(end + 2 + sizeof(set_mask) - 1, "\x48\xbe", 2, at); /* mov $at, %rsi */
	memcpy(end, INJECT_INSTRUCTION, 2);
	end = inject_emit(end + 2, "\x48\xb8", 2, rax);
	end = inject_emit(end, "\x48\xb9", 2, regs->rcx);
	end = inject_emit(end, "\x48\xba", 2, regs->rdx);
	end = inject_emit(end, "\x48\xbe", 2, regs->rsi);
	end = inject_emit(end, "\x48\xbf", 2, regs->rdi);
	end = inject_emit(end, "\x49\xb8", 2, regs->r8);
	end = inject_emit(end, "\x49\xb9", 2, regs->r9);
	end = inject_emit(end, "\x49\xba", 2, regs->r10);
	end = inject_emit(end, "\x49\xbb", 2, regs->r11);
	memcpy(end, "\xff\x25", 2); /* jmp *disp32(%rip), to the word at offset 8 */
	end += 6;
	memcpy(end - 4, &(int32_t){(int32_t)(code + 8 - end)}, 4);
	return end - code;
}
#define INJECT_RESUME_CALL 16 /* offset of the system call */

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

/* A branch needs a register on this processor, so the code could not restore all of them. */
static inline size_t inject_resume_code(uint8_t *code, uint64_t at,
					const struct user_regs_struct *regs, uint64_t sigmask)
{
	return 0;
}
#define INJECT_RESUME_CALL 0

#else
#error "cannot inject system calls on this processor: write inject/arch.h for it"
#endif

#endif
