// SPDX-License-Identifier: MIT
// dlsym and dlvsym look at their return address to know who asks. ccr__lookup_target says who
// answers: the real function, jumped to so that nothing has changed for it, or ours, which gets
// the caller as one more argument.
#if defined(__x86_64__)
#define ENTRY(name) .globl name; .type name, @function; .p2align 4; name:

	.text
ENTRY(dlsym)
	.cfi_startproc
	endbr64
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	movq	%rsi, %rdi
	xorl	%esi, %esi
	call	ccr__lookup_target
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	movq	(%rsp), %rdx
	jmp	*%rax
	.cfi_endproc
	.size dlsym, . - dlsym

ENTRY(dlvsym)
	.cfi_startproc
	endbr64
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	movq	%rsi, %rdi
	movl	$1, %esi
	call	ccr__lookup_target
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	movq	(%rsp), %rcx
	jmp	*%rax
	.cfi_endproc
	.size dlvsym, . - dlvsym
#endif
	.section .note.GNU-stack, "", %progbits
