// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages for shared memory that is about to be filled. Pinned memory is such
 * memory, and the driver pins it again when it restores a process: page by page,
 * which takes longer than to fill it. Unlike private memory it gets huge pages by
 * nothing that a program does, unless an administrator allows them for all
 * (shmem_enabled), so we ask for each. Only what is filled as a whole becomes
 * huge, so that the process has no more memory than before.
 */
#include "plugin/host/remap/remap.h"
#include "image/pages/pages.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

#define HUGE_PAGE (2ull << 20)
#define MAX_PAGES 64

/*
 * The kernel makes no huge page where there is no page at all. Reading one makes it, in shared
 * memory.
 */
static bool touch(pid_t pid, uint64_t start, uint64_t end)
{
	struct iovec here[MAX_PAGES], there[MAX_PAGES];
	char bytes[MAX_PAGES];
	size_t nr = 0;

	for (uint64_t at = start; at < end && nr < MAX_PAGES; at += HUGE_PAGE, nr++) {
		here[nr] = (struct iovec){&bytes[nr], 1};
		there[nr] = (struct iovec){(void *)(uintptr_t)at, 1};
	}
	return process_vm_readv(pid, here, nr, there, nr, 0) == (ssize_t)nr;
}

static void collapse(pid_t pid, uint64_t start, uint64_t end)
{
	const struct iovec range = {(void *)(uintptr_t)start, end - start};
	int pidfd;

	if (start >= end || end - start > MAX_PAGES * HUGE_PAGE || !touch(pid, start, end))
		return;
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return;
	/* A kernel that refuses it gives ordinary pages when they are written. */
	syscall(SYS_process_madvise, pidfd, &range, 1, MADV_COLLAPSE, 0);
	close(pidfd);
}

void ccr__remap_make_huge(pid_t pid, const struct ccr_pages_mapping *const *pieces, size_t nr,
			  uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < nr && pieces[i]->offset < end; i++) {
		const struct ccr_pages_mapping *piece = pieces[i];
		const uint64_t piece_end = piece->offset + piece->size;
		const uint64_t from = piece->offset > start ? piece->offset : start;
		const uint64_t to = piece_end < end ? piece_end : end;
		const uint64_t address = piece->address + (from - piece->offset);

		if (piece->is_shared && from < to)
			collapse(pid, (address + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1),
				 (address + (to - from)) & ~(HUGE_PAGE - 1));
	}
}
