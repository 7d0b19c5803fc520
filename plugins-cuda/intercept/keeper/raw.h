// SPDX-License-Identifier: MIT
/*
 * System calls without the C library, for a thread that it does not know: such a
 * thread has no memory of its own for errno. Each returns the kernel's result, -errno on failure.
 */
#ifndef CCR_INTERCEPT_RAW_H
#define CCR_INTERCEPT_RAW_H

#include <stdint.h>
#include <sys/syscall.h>

#ifndef SYS_close_range /* Linux 5.9 */
#define SYS_close_range 436
#endif

#if defined(__x86_64__)
static inline long ccr__raw6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* The new thread calls run(argument) on its stack, whose end is a multiple of 16, and ends. */
static inline long ccr__raw_clone(int (*run)(void *), char *stack_end, long flags, void *argument,
				  uint32_t *tid_word)
{
	void **top = (void **)stack_end - 2;
	register long r10 __asm__("r10") = (long)tid_word;
	register long r8 __asm__("r8") = 0;
	long result;

	top[0] = (void *)run;
	top[1] = argument;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n"
			 "1:"
			 : "=a"(result)
			 : "a"(SYS_clone), "D"(flags), "S"(top), "d"(0L), "r"(r10),
			   "r"(r8), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline long ccr__raw6(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

static inline long ccr__raw_clone(int (*run)(void *), char *stack_end, long flags, void *argument,
				  uint32_t *tid_word)
{
	void **top = (void **)stack_end - 2;
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = flags;
	register long x1 __asm__("x1") = (long)top;
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = (long)tid_word;

	top[0] = (void *)run;
	top[1] = argument;
	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "ldp x1, x0, [sp], #16\n\t"
			 "blr x1\n\t"
			 "mov x8, %[exit]\n\t"
			 "svc 0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), [exit] "i"(SYS_exit)
			 : "memory");
	return x0;
}
#endif

/* Missing arguments are 0. Pointers are cast by the caller of the macro. */
#define CCR__RAW_PICK(number, a, b, c, d, e, f, ...) \
	ccr__raw6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define ccr__raw(number, ...) CCR__RAW_PICK(number, __VA_ARGS__, 0, 0, 0, 0, 0, 0)

#endif
