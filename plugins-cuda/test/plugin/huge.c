// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages for shared memory of a stopped child: where a whole one will be filled, and
 * nowhere else; and no byte changes. Skipped where the kernel has none.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/remap.h"
#include "test/check.h"
#include "test/plugin/smaps_field.h"
#include "test/plugin/stopped_child.h"

#define KIB  1024ull
#define MIB  (1024 * KIB)
#define HUGE (2 * MIB)
#define SIZE (12 * MIB)

/* The same addresses in the child. The shared memory begins at a huge page; `odd` does not. */
static char *shared, *odd, *private;

static void prepare_child(void)
{
	const int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;

	mmap(shared, SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
	mmap(odd, SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
	/* An undo fills memory that may not be empty. */
	memset(shared + 2 * MIB, 7, 300 * KIB);
	memset(odd + 2 * MIB, 7, 300 * KIB);
}

static uint64_t sum(pid_t pid, const char *address)
{
	unsigned char *copy = calloc(1, SIZE);
	const struct iovec here = {copy, SIZE}, there = {(void *)address, SIZE};
	uint64_t bytes = 0;

	CHECK(process_vm_readv(pid, &here, 1, &there, 1, 0) == SIZE);
	for (uint64_t i = 0; i < SIZE; i++)
		bytes += copy[i];
	free(copy);
	return bytes;
}

static bool has_huge_pages(void)
{
	char *memory =
		mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *aligned = (char *)(((uintptr_t)memory + HUGE - 1) & ~(HUGE - 1));
	bool has;

	munmap(memory, 2 * HUGE);
	aligned = mmap(aligned, HUGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	*aligned = 1;
	has = !madvise(aligned, HUGE, 25 /* MADV_COLLAPSE */);
	munmap(aligned, HUGE);
	return has;
}

static void test(void)
{
	const struct ccr_pages_mapping pieces[] = {
		/* Two whole huge pages, and parts of the one before and of the one after them. */
		{(uintptr_t)shared + MIB, 6 * MIB, MIB, false, true},
		{(uintptr_t)odd, SIZE, 8 * MIB, false, true},
		{(uintptr_t) private, SIZE, 20 * MIB, false, false},
	};
	const struct ccr_pages_mapping *list[] = {&pieces[0], &pieces[1], &pieces[2]};
	const pid_t pid = start(prepare_child);
	const uint64_t before = smaps_field(pid, shared, "Rss"),
		       odd_before = smaps_field(pid, odd, "Rss");

	for (uint64_t at = 0; at < 32 * MIB; at += 4 * MIB)
		ccr__remap_make_huge(pid, list, 3, at, at + 4 * MIB);
	CHECK(smaps_field(pid, shared, "ShmemPmdMapped") == 2 * HUGE);
	/* The pages with data were in one of them. */
	CHECK(smaps_field(pid, shared, "Rss") == before + 2 * HUGE - 300 * KIB);
	CHECK(!smaps_field(pid, odd, "ShmemPmdMapped"));
	CHECK(smaps_field(pid, odd, "Rss") < odd_before + MIB);
	CHECK(!smaps_field(pid, private, "AnonHugePages") && !smaps_field(pid, private, "Rss"));
	CHECK(sum(pid, shared) == 7 * 300 * KIB);
	CHECK(sum(pid, odd) == 7 * 300 * KIB);
	stop(pid);
}

int main(void)
{
	char *room = mmap(NULL, 4 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!has_huge_pages()) {
		printf("skipped: this kernel makes no huge pages of shared memory\n");
		return 77;
	}
	shared = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	odd = shared + SIZE + 64 * KIB;
	private = odd + SIZE + MIB;
	mmap(private, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	test();
	return failures ? 1 : 0;
}
