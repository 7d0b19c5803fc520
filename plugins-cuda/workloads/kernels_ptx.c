// SPDX-License-Identifier: MIT
/*
 * The kernels of kernels.h in PTX, which needs no CUDA compiler: the driver
 * compiles it for the GPU.
 */
#include "workloads/sequence_ptx.h"
#include "workloads/workloads.h"

/* %k = number of this thread, %step = number of threads. */
#define GRID_STRIDE                    \
	"  mov.u32 %a, %ctaid.x;\n"    \
	"  mov.u32 %b, %ntid.x;\n"     \
	"  mov.u32 %c, %tid.x;\n"      \
	"  mov.u32 %d, %nctaid.x;\n"   \
	"  mul.wide.u32 %k, %a, %b;\n" \
	"  cvt.u64.u32 %x, %c;\n"      \
	"  add.u64 %k, %k, %x;\n"      \
	"  mul.wide.u32 %step, %b, %d;\n"

/* %low = index of word %k in its block, %high = index of the block. */
#define SPLIT_INDEX                   \
	"  add.u64 %i, %first, %k;\n" \
	"  and.b64 %low, %i, 4095;\n" \
	"  shr.u64 %high, %i, 12;\n"

#define REGISTERS                                                                         \
	"  .reg .u32 %a, %b, %c, %d;\n"                                                   \
	"  .reg .u64 %ptr, %nr, %first, %last, %k, %step, %i, %low, %high, %x, %y, %z;\n" \
	"  .reg .pred %p;\n"

const char workload_ptx[] = ".version 7.0\n.target sm_52\n.address_size 64\n" SEQUENCE
			    ".visible .entry ccr_fill_u64(.param .u64 ptr, .param .u64 nr, .param "
			    ".u64 first, .param .u64 key)\n"
			    "{\n" REGISTERS "  ld.param.u64 %ptr, [ptr];\n"
			    "  ld.param.u64 %nr, [nr];\n"
			    "  ld.param.u64 %first, [first];\n"
			    "  ld.param.u64 %last, [key];\n" GRID_STRIDE "loop:\n"
			    "  setp.ge.u64 %p, %k, %nr;\n"
			    "  @%p bra done;\n" SPLIT_INDEX "  mov.u64 %y, 0x1000000000000001;\n"
			    "  call (%x), sequence, (%low, %y);\n"
			    "  mov.u64 %y, 0x2000000000000003;\n"
			    "  call (%z), sequence, (%high, %y);\n"
			    "  add.u64 %x, %x, %z;\n"
			    "  add.u64 %x, %x, %last;\n"
			    "  shl.b64 %y, %k, 3;\n"
			    "  add.u64 %y, %y, %ptr;\n"
			    "  st.global.u64 [%y], %x;\n"
			    "  add.u64 %k, %k, %step;\n"
			    "  bra loop;\n"
			    "done:\n"
			    "  ret;\n"
			    "}\n"
			    ".visible .entry ccr_checksum_u64(.param .u64 ptr, .param .u64 nr, "
			    ".param .u64 first, .param .u64 out)\n"
			    "{\n" REGISTERS "  .reg .u64 %sum, %word, %old;\n"
			    "  ld.param.u64 %ptr, [ptr];\n"
			    "  ld.param.u64 %nr, [nr];\n"
			    "  ld.param.u64 %first, [first];\n"
			    "  ld.param.u64 %last, [out];\n" GRID_STRIDE "  mov.u64 %sum, 0;\n"
			    "loop:\n"
			    "  setp.ge.u64 %p, %k, %nr;\n"
			    "  @%p bra done;\n" SPLIT_INDEX "  mov.u64 %y, 0x3000000000000005;\n"
			    "  call (%x), sequence, (%low, %y);\n"
			    "  or.b64 %x, %x, 1;\n"
			    "  mov.u64 %y, 0x4000000000000007;\n"
			    "  call (%z), sequence, (%high, %y);\n"
			    "  or.b64 %z, %z, 1;\n"
			    "  mul.lo.u64 %x, %x, %z;\n"
			    "  shl.b64 %y, %k, 3;\n"
			    "  add.u64 %y, %y, %ptr;\n"
			    "  ld.global.u64 %word, [%y];\n"
			    "  mad.lo.u64 %sum, %word, %x, %sum;\n"
			    "  add.u64 %k, %k, %step;\n"
			    "  bra loop;\n"
			    "done:\n"
			    "  atom.global.add.u64 %old, [%last], %sum;\n"
			    "  ret;\n"
			    "}\n"
			    ".visible .entry ccr_spin(.param .u64 flags)\n"
			    "{\n"
			    "  .reg .u64 %f;\n"
			    "  .reg .u32 %v;\n"
			    "  .reg .pred %p;\n"
			    "  ld.param.u64 %f, [flags];\n"
			    "  mov.u32 %v, 1;\n"
			    "  st.volatile.global.u32 [%f+4], %v;\n"
			    "loop:\n"
			    "  ld.volatile.global.u32 %v, [%f];\n"
			    "  setp.eq.u32 %p, %v, 0;\n"
			    "  @%p bra loop;\n"
			    "  ret;\n"
			    "}\n";
