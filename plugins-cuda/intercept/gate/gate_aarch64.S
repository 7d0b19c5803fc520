// SPDX-License-Identifier: MIT
// Stubs for arm64; see gate_x86_64.S for what they do. On entry we may use x9-x17; x8 may have the
// address of a result.
#if defined(__aarch64__)
#include "intercept/gate/gate_layout.h"
#include "intercept/gate/hook_list.h"

#define ENTRY(name) .globl name; .type name, %function; .p2align 4; name:
#define HIDDEN(name) .hidden name; ENTRY(name)
#define BTI_C hint #34

	.text

	.set slot, 0
	.macro STUB
	.cfi_startproc
	BTI_C
	adrp	x17, ccr__slots + (slot << CCR_SLOT_SHIFT)
	add	x17, x17, :lo12:ccr__slots + (slot << CCR_SLOT_SHIFT)
	b	ccr__gate
	.cfi_endproc
	.set slot, slot + 1
	.endm

	.macro HOOK name
	.globl \name
	.type \name, %function
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

	// Adds to the counter at x20, with a barrier so that the flag is read afterwards.
	.macro COUNT by
1:	ldaxr	w11, [x20]
	add	w11, w11, #\by
	stlxr	w12, w11, [x20]
	cbnz	w12, 1b
	dmb	ish
	.endm

	.macro UNFRAME
	mov	sp, x29
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp], #32
	.cfi_def_cfa sp, 0
	.cfi_restore x29
	.cfi_restore x30
	.cfi_restore x19
	.cfi_restore x20
	.endm

// x17: the slot. In the frame: x19 = this thread, x20 = its counter.
HIDDEN(ccr__gate)
	.cfi_startproc
	.cfi_personality 0x1b, ccr__gate_personality
	mrs	x10, tpidr_el0
	adrp	x9, :gottprel:ccr__gate_thread
	ldr	x9, [x9, :gottprel_lo12:ccr__gate_thread]
	add	x9, x9, x10
	ldar	x16, [x17]
	cbz	x16, .Lframe
	ldr	w10, [x9, #CCR_THREAD_DEPTH]
	cbnz	w10, .Lplain
	ldr	w10, [x17, #CCR_SLOT_KIND]
	cmp	w10, #CCR_KIND_OPEN
	b.eq	.Lplain
.Lframe:
	stp	x29, x30, [sp, #-32]!
	.cfi_def_cfa_offset 32
	.cfi_offset x29, -32
	.cfi_offset x30, -24
	mov	x29, sp
	.cfi_def_cfa_register x29
	stp	x19, x20, [sp, #16]
	.cfi_offset x19, -16
	.cfi_offset x20, -8
	mov	x19, x9
	ldr	x20, [x19, #CCR_THREAD_COUNT]
	cbz	x20, .Lslow
	cbz	x16, .Lslow
	COUNT	1
	adrp	x11, ccr__gate_closed
	ldr	w11, [x11, :lo12:ccr__gate_closed]
	cbnz	w11, .Lclosed
	mov	w11, #1
	str	w11, [x19, #CCR_THREAD_DEPTH]
	cmp	w10, #CCR_KIND_STACK
	b.eq	.Lcopy
.Lcall:
	blr	x16
	str	wzr, [x19, #CCR_THREAD_DEPTH]
	COUNT	-1
	adrp	x11, ccr__gate_closed
	ldr	w11, [x11, :lo12:ccr__gate_closed]
	cbnz	w11, .Lleft
.Lreturn:
	.cfi_remember_state
	UNFRAME
	ret
	.cfi_restore_state

.Lcopy:
	sub	sp, sp, #CCR_STACK_WINDOW
	.set at, 0
	.rept CCR_STACK_WINDOW / 16
	ldp	x11, x12, [x29, #32 + at]
	stp	x11, x12, [sp, #at]
	.set at, at + 16
	.endr
	b	.Lcall

.Lleft:
	stp	x0, x1, [sp, #-32]!
	str	q0, [sp, #16]
	bl	ccr__gate_left
	ldr	q0, [sp, #16]
	ldp	x0, x1, [sp], #32
	b	.Lreturn

// The gate is closed, but this call was let through, and is counted.
.Ladmitted:
	mov	sp, x29
	ldr	x20, [x19, #CCR_THREAD_COUNT]
	ldar	x16, [x17]
	ldr	w10, [x17, #CCR_SLOT_KIND]
	mov	w11, #1
	str	w11, [x19, #CCR_THREAD_DEPTH]
	cmp	w10, #CCR_KIND_STACK
	b.eq	.Lcopy
	b	.Lcall

.Lclosed:
	COUNT	-1
.Lslow:
	sub	sp, sp, #208
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x17, [sp, #64]
	stp	q0, q1, [sp, #80]
	stp	q2, q3, [sp, #112]
	stp	q4, q5, [sp, #144]
	stp	q6, q7, [sp, #176]
	mov	x0, x17
	bl	ccr__gate_slow
	mov	w11, w0
	ldp	x0, x1, [sp]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x17, [sp, #64]
	ldp	q0, q1, [sp, #80]
	ldp	q2, q3, [sp, #112]
	ldp	q4, q5, [sp, #144]
	ldp	q6, q7, [sp, #176]
	cbnz	w11, .Ladmitted
	UNFRAME
	b	ccr__gate

.Lplain:
	br	x16
	.cfi_endproc
	.size ccr__gate, . - ccr__gate
#endif
	.section .note.GNU-stack, "", %progbits
