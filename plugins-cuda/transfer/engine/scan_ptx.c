// SPDX-License-Identifier: MIT
/*
 * The kernel of common/scan_kernel.h in PTX, which the driver compiles for the GPU.
 * Each thread has several loads of 16 bytes in flight, which is what the memory of
 * large GPUs needs; after each step the threads of a block agree whether to stop.
 */
#include "transfer/engine/engine.h"

#define LOAD(n, offset) \
	"  ld.global.nc.v4.u32 {%a" #n ", %b" #n ", %c" #n ", %d" #n "}, [%at+" #offset "];\n"

#define OR(n)                                      \
	"  or.b32 %a" #n ", %a" #n ", %b" #n ";\n" \
	"  or.b32 %c" #n ", %c" #n ", %d" #n ";\n" \
	"  or.b32 %a" #n ", %a" #n ", %c" #n ";\n" \
	"  or.b32 %bits, %bits, %a" #n ";\n"

/* Leaves the loop when a thread of the block has seen a bit. */
#define AGREE                                 \
	"  setp.ne.u32 %mine, %bits, 0;\n"    \
	"  bar.red.or.pred %any, 0, %mine;\n" \
	"  @%any bra done;\n"

/* clang-format off */
const char transfer_scan_ptx[] =
	".version 7.0\n"
	".target sm_52\n"
	".address_size 64\n"
	".visible .entry ccr_find_zeroes(.param .u64 entries, .param .u64 nr_entries)\n"
	"{\n"
	"  .reg .u32 %i, %thread, %bits, %a<8>, %b<8>, %c<8>, %d<8>;\n"
	"  .reg .u64 %entry, %nr, %wide, %at, %step, %whole, %end, %last, %place;\n"
	"  .reg .pred %outside, %first, %mine, %any, %over;\n"
	"  .shared .align 16 .b64 chunk[2];\n"
	"  ld.param.u64 %entry, [entries];\n"
	"  ld.param.u64 %nr, [nr_entries];\n"
	"  mov.u32 %i, %ctaid.x;\n"
	"  cvt.u64.u32 %wide, %i;\n"
	"  setp.ge.u64 %outside, %wide, %nr;\n"
	"  @%outside bra done;\n"
	"  mad.lo.u64 %entry, %wide, 32, %entry;\n"
	/* The entries are host memory: one thread reads the block's for all. */
	"  mov.u32 %thread, %tid.x;\n"
	"  setp.eq.u32 %first, %thread, 0;\n"
	"  @%first ld.volatile.global.v2.u64 {%step, %end}, [%entry];\n"
	"  @%first st.shared.v2.u64 [chunk], {%step, %end};\n"
	"  bar.sync 0;\n"
	"  ld.shared.v2.u64 {%step, %end}, [chunk];\n"
	"  and.b64 %whole, %end, -65536;\n" /* 512 threads * 8 loads * 16 bytes */
	"  add.u64 %whole, %step, %whole;\n"
	"  add.u64 %end, %step, %end;\n"
	"  sub.u64 %last, %end, 16;\n"
	"  mul.wide.u32 %place, %thread, 16;\n"
	"  mov.u32 %bits, 0;\n"
	"whole_steps:\n"
	"  setp.ge.u64 %over, %step, %whole;\n"
	"  @%over bra rest;\n"
	"  add.u64 %at, %step, %place;\n"
	LOAD(0, 0) LOAD(1, 8192) LOAD(2, 16384) LOAD(3, 24576)
	LOAD(4, 32768) LOAD(5, 40960) LOAD(6, 49152) LOAD(7, 57344)
	OR(0) OR(1) OR(2) OR(3) OR(4) OR(5) OR(6) OR(7)
	AGREE
	"  add.u64 %step, %step, 65536;\n"
	"  bra whole_steps;\n"
	/* Threads beyond the end read the last bytes again, so that none skips the barrier. */
	"rest:\n"
	"  setp.ge.u64 %over, %step, %end;\n"
	"  @%over bra zero;\n"
	"  add.u64 %at, %step, %place;\n"
	"  min.u64 %at, %at, %last;\n"
	LOAD(0, 0)
	OR(0)
	AGREE
	"  add.u64 %step, %step, 8192;\n"
	"  bra rest;\n"
	"zero:\n"
	"  mov.u64 %wide, 1;\n"
	"  @%first st.volatile.global.u64 [%entry+16], %wide;\n"
	"done:\n"
	"  ret;\n"
	"}\n";
/* clang-format on */
