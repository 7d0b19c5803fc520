// SPDX-License-Identifier: MIT
// Stubs for x86-64.
// On entry we may use r10, r11 and xmm8-15. rax has the number of vector arguments of a variadic
// call and is passed on.
#if defined(__x86_64__)
#include "intercept/gate/gate_layout.h"
#include "intercept/gate/hook_list.h"

#define ENTRY(name) .globl name; .type name, @function; .p2align 4; name:
#define HIDDEN(name) .hidden name; ENTRY(name)

	.text

	.set slot, 0
	.macro STUB
	.cfi_startproc
	endbr64
	leaq	ccr__slots + (slot << CCR_SLOT_SHIFT)(%rip), %r11
	jmp	ccr__gate
	.cfi_endproc
	.p2align 4
	.set slot, slot + 1
	.endm

	.macro HOOK name
	.globl \name
	.type \name, @function
\name:
	STUB
	.size \name, . - \name
	.endm

HIDDEN(ccr__stubs)
#define H(name, kind) HOOK name;
	CCR_HOOKS(H)
	.rept CCR_SPARE_SLOTS
	STUB
	.endr
	.size ccr__stubs, . - ccr__stubs

// r11: the slot. The frame, when it is complete: 0(rbp) rbp, -8 rbx = thread offset, -16 r12 = counter.
HIDDEN(ccr__gate)
	.cfi_startproc
	.cfi_personality 0x1b, ccr__gate_personality
	movq	ccr__gate_thread@gottpoff(%rip), %r10
	cmpl	$0, %fs:CCR_THREAD_DEPTH(%r10)
	jne	.Lplain
	cmpl	$CCR_KIND_OPEN, CCR_SLOT_KIND(%r11)
	je	.Lplain
.Lframe:
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	pushq	%rbx
	.cfi_offset %rbx, -24
	pushq	%r12
	.cfi_offset %r12, -32
	movq	%r10, %rbx
	movq	%fs:CCR_THREAD_COUNT(%rbx), %r12
	testq	%r12, %r12
	je	.Lslow
	movq	CCR_SLOT_TARGET(%r11), %r10
	testq	%r10, %r10
	je	.Lslow
	lock incl (%r12)
	cmpl	$0, ccr__gate_closed(%rip)
	jne	.Lclosed
	// First count, then mark: a call in a signal handler in between counts itself.
	movl	$1, %fs:CCR_THREAD_DEPTH(%rbx)
	cmpl	$CCR_KIND_STACK, CCR_SLOT_KIND(%r11)
	je	.Lcopy
.Lcall:
	call	*%r10
	movl	$0, %fs:CCR_THREAD_DEPTH(%rbx)
	lock decl (%r12)
	cmpl	$0, ccr__gate_closed(%rip)
	jne	.Lleft
.Lreturn:
	movq	-8(%rbp), %rbx
	movq	-16(%rbp), %r12
	leave
	.cfi_remember_state
	.cfi_def_cfa %rsp, 8
	.cfi_restore %rbp
	.cfi_restore %rbx
	.cfi_restore %r12
	ret
	.cfi_restore_state

.Lcopy:
	subq	$CCR_STACK_WINDOW, %rsp
	.set at, 0
	.rept CCR_STACK_WINDOW / 32
	movups	16 + at(%rbp), %xmm8
	movups	32 + at(%rbp), %xmm9
	movups	%xmm8, at(%rsp)
	movups	%xmm9, 16 + at(%rsp)
	.set at, at + 32
	.endr
	jmp	.Lcall

.Lleft:
	subq	$32, %rsp
	movq	%rax, (%rsp)
	movq	%rdx, 8(%rsp)
	movups	%xmm0, 16(%rsp)
	call	ccr__gate_left
	movq	(%rsp), %rax
	movq	8(%rsp), %rdx
	movups	16(%rsp), %xmm0
	jmp	.Lreturn

// The gate is closed, but this call was let through, and is counted.
.Ladmitted:
	leaq	-16(%rbp), %rsp
	movq	%fs:CCR_THREAD_COUNT(%rbx), %r12
	movq	CCR_SLOT_TARGET(%r11), %r10
	movl	$1, %fs:CCR_THREAD_DEPTH(%rbx)
	cmpl	$CCR_KIND_STACK, CCR_SLOT_KIND(%r11)
	je	.Lcopy
	jmp	.Lcall

.Lclosed:
	lock decl (%r12)
.Lslow:
	subq	$192, %rsp
	movq	%rdi, (%rsp)
	movq	%rsi, 8(%rsp)
	movq	%rdx, 16(%rsp)
	movq	%rcx, 24(%rsp)
	movq	%r8, 32(%rsp)
	movq	%r9, 40(%rsp)
	movq	%rax, 48(%rsp)
	movq	%r11, 56(%rsp)
	movups	%xmm0, 64(%rsp)
	movups	%xmm1, 80(%rsp)
	movups	%xmm2, 96(%rsp)
	movups	%xmm3, 112(%rsp)
	movups	%xmm4, 128(%rsp)
	movups	%xmm5, 144(%rsp)
	movups	%xmm6, 160(%rsp)
	movups	%xmm7, 176(%rsp)
	movq	%r11, %rdi
	call	ccr__gate_slow
	movl	%eax, %r10d
	movq	(%rsp), %rdi
	movq	8(%rsp), %rsi
	movq	16(%rsp), %rdx
	movq	24(%rsp), %rcx
	movq	32(%rsp), %r8
	movq	40(%rsp), %r9
	movq	48(%rsp), %rax
	movq	56(%rsp), %r11
	movups	64(%rsp), %xmm0
	movups	80(%rsp), %xmm1
	movups	96(%rsp), %xmm2
	movups	112(%rsp), %xmm3
	movups	128(%rsp), %xmm4
	movups	144(%rsp), %xmm5
	movups	160(%rsp), %xmm6
	movups	176(%rsp), %xmm7
	testl	%r10d, %r10d
	jne	.Ladmitted
	movq	-8(%rbp), %rbx
	movq	-16(%rbp), %r12
	leave
	.cfi_def_cfa %rsp, 8
	.cfi_restore %rbp
	.cfi_restore %rbx
	.cfi_restore %r12
	jmp	ccr__gate

.Lplain:
	cmpq	$0, CCR_SLOT_TARGET(%r11)
	je	.Lplain_slow
	jmp	*CCR_SLOT_TARGET(%r11)
.Lplain_slow:
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	pushq	%rbx
	.cfi_offset %rbx, -24
	pushq	%r12
	.cfi_offset %r12, -32
	jmp	.Lslow
	.cfi_endproc
	.size ccr__gate, . - ccr__gate
#endif
	.section .note.GNU-stack, "", %progbits
