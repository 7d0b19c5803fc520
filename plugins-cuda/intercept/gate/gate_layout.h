// SPDX-License-Identifier: MIT
// What the assembler and C both know about stubs; gate.h checks it against the structures.
#ifndef CCR_GATE_LAYOUT_H
#define CCR_GATE_LAYOUT_H

#define CCR_KIND_OPEN  0 // passes the gate uncounted
#define CCR_KIND_REGS  1
#define CCR_KIND_STACK 2

#define CCR_SLOT_SHIFT	5 // 1 << 5 bytes each
#define CCR_SLOT_TARGET 0
#define CCR_SLOT_KIND	8

#define CCR_STUB_BYTES	16
#define CCR_SPARE_SLOTS 2048 // for calls that are not in hook_list.h

#define CCR_THREAD_DEPTH 0
#define CCR_THREAD_COUNT 8

// Bytes of stack arguments that a stub copies from its caller. The call with the most is
// cuTensorMapEncodeIm2colWide with 80.
#define CCR_STACK_WINDOW 256

#endif
