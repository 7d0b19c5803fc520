// SPDX-License-Identifier: MIT
/* A function that the PTX of more than one kernel calls. */
#ifndef CCR_WORKLOADS_SEQUENCE_PTX_H
#define CCR_WORKLOADS_SEQUENCE_PTX_H

/* splitmix64's finalizer applied to n * golden + salt, see ccr_sequence(). */
#define SEQUENCE                                                       \
	".func (.reg .u64 %r) sequence (.reg .u64 %n, .reg .u64 %s)\n" \
	"{\n"                                                          \
	"  .reg .u64 %t;\n"                                            \
	"  mad.lo.u64 %r, %n, 0x9e3779b97f4a7c15, %s;\n"               \
	"  shr.u64 %t, %r, 30;\n"                                      \
	"  xor.b64 %r, %r, %t;\n"                                      \
	"  mul.lo.u64 %r, %r, 0xbf58476d1ce4e5b9;\n"                   \
	"  shr.u64 %t, %r, 27;\n"                                      \
	"  xor.b64 %r, %r, %t;\n"                                      \
	"  mul.lo.u64 %r, %r, 0x94d049bb133111eb;\n"                   \
	"  shr.u64 %t, %r, 31;\n"                                      \
	"  xor.b64 %r, %r, %t;\n"                                      \
	"  ret;\n"                                                     \
	"}\n"

#endif
