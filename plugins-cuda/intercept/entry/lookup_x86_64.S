// SPDX-License-Identifier: MIT
// dlsym and dlvsym read their return address to find out who calls them. ccr__lookup_target decides
// who answers: the real function, to which we jump with unchanged registers and stack, or our own,
// which gets the caller as an additional argument.
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
