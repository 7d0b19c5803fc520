// SPDX-License-Identifier: MIT
/*
 * The kernel of common/rank_kernel.h in PTX. One thread waits for the flags of the
 * other ranks; a fence for the whole system comes before each flag that it sets.
 */
#include "workloads/ranks/ranks.h"
#include "workloads/sequence_ptx.h"

/* Thread 0 waits until the flag at this offset of each buffer is at least %want. */
#define AWAIT(name, offset)                               \
	"  mov.u64 %i, 0;\n" name ":\n"                   \
	"  setp.ge.u64 %p, %i, %nr;\n"                    \
	"  @%p bra " name "_all;\n"                       \
	"  shl.b64 %x, %i, 3;\n"                          \
	"  add.u64 %x, %x, %table;\n"                     \
	"  ld.global.u64 %b, [%x];\n" name "_one:\n"      \
	"  ld.volatile.global.u64 %v, [%b+" offset "];\n" \
	"  setp.lt.u64 %p, %v, %want;\n"                  \
	"  @%p bra " name "_one;\n"                       \
	"  add.u64 %i, %i, 1;\n"                          \
	"  bra " name ";\n" name "_all:\n"                \
	"  membar.sys;\n"

#define READY "0"
#define DONE  "512"

const char ranks_ptx[] =
	".version 7.0\n.target sm_52\n.address_size 64\n" SEQUENCE
	".visible .entry ccr_all_reduce(.param .u64 buffers, .param .u64 nr_ranks, .param .u64 "
	"rank, .param .u64 nr_words, .param .u64 step, .param .u64 acc)\n"
	"{\n"
	"  .reg .u32 %t, %threads;\n"
	"  .reg .u64 %table, %nr, %rank, %words, %step, %acc, %want, %i, %k, %first, %stride;\n"
	"  .reg .u64 %x, %y, %z, %b, %v, %own, %sum;\n"
	"  .reg .pred %p, %follower;\n"
	"  .shared .align 8 .u64 total;\n"
	"  ld.param.u64 %table, [buffers];\n"
	"  ld.param.u64 %nr, [nr_ranks];\n"
	"  ld.param.u64 %rank, [rank];\n"
	"  ld.param.u64 %words, [nr_words];\n"
	"  ld.param.u64 %step, [step];\n"
	"  ld.param.u64 %acc, [acc];\n"
	"  mov.u32 %t, %tid.x;\n"
	"  mov.u32 %threads, %ntid.x;\n"
	"  cvt.u64.u32 %first, %t;\n"
	"  cvt.u64.u32 %stride, %threads;\n"
	"  setp.ne.u32 %follower, %t, 0;\n"
	"  @%follower bra may_write;\n"
	"  mov.u64 %x, 0;\n"
	"  st.shared.u64 [total], %x;\n"
	"  sub.u64 %want, %step, 1;\n" AWAIT(
		"await_done", DONE) "may_write:\n"
				    "  bar.sync 0;\n"
				    "  shl.b64 %x, %rank, 3;\n"
				    "  add.u64 %x, %x, %table;\n"
				    "  ld.global.u64 %own, [%x];\n"
				    "  mov.u64 %k, %first;\n"
				    "write:\n"
				    "  setp.ge.u64 %p, %k, %words;\n"
				    "  @%p bra written;\n"
				    "  shl.b64 %x, %k, 3;\n"
				    "  add.u64 %x, %x, %own;\n"
				    "  ld.volatile.global.u64 %v, [%x+4096];\n"
				    "  add.u64 %v, %v, 0x9e3779b97f4a7c15;\n"
				    "  st.volatile.global.u64 [%x+4096], %v;\n"
				    "  add.u64 %k, %k, %stride;\n"
				    "  bra write;\n"
				    "written:\n"
				    "  membar.sys;\n"
				    "  bar.sync 0;\n"
				    "  @%follower bra may_read;\n"
				    "  st.volatile.global.u64 [%own+" READY "], %step;\n"
				    "  mov.u64 %want, %step;\n" AWAIT(
					    "await_ready",
					    READY) "may_read:\n"
						   "  bar.sync 0;\n"
						   "  mov.u64 %sum, 0;\n"
						   "  mov.u64 %i, 0;\n"
						   "next_rank:\n"
						   "  setp.ge.u64 %p, %i, %nr;\n"
						   "  @%p bra have_sum;\n"
						   "  shl.b64 %x, %i, 3;\n"
						   "  add.u64 %x, %x, %table;\n"
						   "  ld.global.u64 %b, [%x];\n"
						   "  add.u64 %i, %i, 1;\n"
						   "  mov.u64 %k, %first;\n"
						   "read:\n"
						   "  setp.ge.u64 %p, %k, %words;\n"
						   "  @%p bra next_rank;\n"
						   "  and.b64 %x, %k, 4095;\n"
						   "  mov.u64 %y, 0x3000000000000005;\n"
						   "  call (%z), sequence, (%x, %y);\n"
						   "  or.b64 %z, %z, 1;\n"
						   "  shr.u64 %x, %k, 12;\n"
						   "  mov.u64 %y, 0x4000000000000007;\n"
						   "  call (%x), sequence, (%x, %y);\n"
						   "  or.b64 %x, %x, 1;\n"
						   "  mul.lo.u64 %z, %z, %x;\n"
						   "  shl.b64 %x, %k, 3;\n"
						   "  add.u64 %x, %x, %b;\n"
						   "  ld.volatile.global.u64 %v, [%x+4096];\n"
						   "  mad.lo.u64 %sum, %v, %z, %sum;\n"
						   "  add.u64 %k, %k, %stride;\n"
						   "  bra read;\n"
						   "have_sum:\n"
						   "  atom.shared.add.u64 %v, [total], %sum;\n"
						   "  bar.sync 0;\n"
						   "  @%follower bra end;\n"
						   "  ld.shared.u64 %sum, [total];\n"
						   "  ld.global.u64 %v, [%acc];\n"
						   "  add.u64 %v, %v, %sum;\n"
						   "  mov.u64 %x, 0;\n"
						   "  call (%v), sequence, (%x, %v);\n"
						   "  st.global.u64 [%acc], %v;\n"
						   "  membar.sys;\n"
						   "  st.volatile.global.u64 [%own+" DONE
						   "], %step;\n"
						   "end:\n"
						   "  ret;\n"
						   "}\n";
