// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whenever a thread returns to user mode, also to run CRIU's code or ours, Linux
 * writes the number of its CPU to the thread's rseq area, and ends the process
 * if it cannot. CRIU reads this area as well. So its pages stay as they are, and
 * CRIU stores them.
 */
#include "plugin/host/remap/remap.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#include "plugin/trace/each_thread.h"

#ifndef PTRACE_GET_RSEQ_CONFIGURATION /* Linux 5.13 */
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#ifndef NT_ARM_TLS
#define NT_ARM_TLS 0x401
#endif

/* Linux's struct ptrace_rseq_configuration. */
struct rseq_configuration {
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};

#define RSEQ_MIN_BYTES 32
/* Where the kernel does not tell: the C library has the area near the thread pointer. */
#define NEAR_PAGES 2

static int thread_pointer(pid_t tid, uint64_t *pointer)
{
#if defined(__x86_64__)
	struct user_regs_struct regs = {0};
	struct iovec iov = {&regs, sizeof(regs)};
	const int type = NT_PRSTATUS;
#else
	uint64_t regs = 0;
	struct iovec iov = {&regs, sizeof(regs)};
	const int type = NT_ARM_TLS;
#endif

	if (ptrace(PTRACE_GETREGSET, tid, type, &iov))
		return -errno;
#if defined(__x86_64__)
	*pointer = regs.fs_base;
#else
	*pointer = regs;
#endif
	return 0;
}

/* Sets an empty range if the thread has no such area. */
static int find_area(pid_t tid, uint64_t page, struct remap_range *range)
{
	struct rseq_configuration rseq = {0};
	uint64_t pointer = 0;
	int ret;

	*range = (struct remap_range){0};
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(rseq), &rseq) >= 0) {
		const uint64_t size = rseq.size > RSEQ_MIN_BYTES ? rseq.size : RSEQ_MIN_BYTES;

		if (rseq.pointer)
			*range = (struct remap_range){rseq.pointer / page * page,
						      (rseq.pointer + size + page - 1) / page *
							      page};
		return 0;
	}
	if (errno != EIO)
		return -errno;
	ret = thread_pointer(tid, &pointer);
	pointer = pointer / page * page;
	if (!ret && pointer > NEAR_PAGES * page)
		*range = (struct remap_range){pointer - NEAR_PAGES * page,
					      pointer + (NEAR_PAGES + 1) * page};
	return ret;
}

static int add_area(pid_t tid, void *ranges)
{
	struct remap_range range;
	const int ret = find_area(tid, getpagesize(), &range);

	return ret || !range.end ? ret : ccr__remap_add_range(ranges, &range);
}

int ccr__remap_in_use(struct remap_ranges *ranges, pid_t pid)
{
	*ranges = (struct remap_ranges){0};
	return ccr__each_thread(pid, add_area, ranges);
}
