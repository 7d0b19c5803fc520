// SPDX-License-Identifier: MIT
// See lookup_x86_64.S.
#if defined(__aarch64__)
#define ENTRY(name) .globl name; .type name, %function; .p2align 4; name:
#define BTI_C hint #34

	.text
ENTRY(dlsym)
	.cfi_startproc
	BTI_C
	stp	x29, x30, [sp, #-32]!
	.cfi_def_cfa_offset 32
	.cfi_offset x29, -32
	.cfi_offset x30, -24
	stp	x0, x1, [sp, #16]
	mov	x0, x1
	mov	w1, #0
	bl	ccr__lookup_target
	mov	x16, x0
	ldp	x0, x1, [sp, #16]
	ldp	x29, x30, [sp], #32
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	mov	x2, x30
	br	x16
	.cfi_endproc
	.size dlsym, . - dlsym

ENTRY(dlvsym)
	.cfi_startproc
	BTI_C
	stp	x29, x30, [sp, #-48]!
	.cfi_def_cfa_offset 48
	.cfi_offset x29, -48
	.cfi_offset x30, -40
	stp	x0, x1, [sp, #16]
	str	x2, [sp, #32]
	mov	x0, x1
	mov	w1, #1
	bl	ccr__lookup_target
	mov	x16, x0
	ldp	x0, x1, [sp, #16]
	ldr	x2, [sp, #32]
	ldp	x29, x30, [sp], #48
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	mov	x3, x30
	br	x16
	.cfi_endproc
	.size dlvsym, . - dlvsym
#endif
	.section .note.GNU-stack, "", %progbits
