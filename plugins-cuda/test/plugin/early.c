// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process changes while its memory is copied early: what it writes, drops, unmaps and maps
 * afterwards, and what another process writes to it, must be in the page file as it is at the end,
 * and nothing else. What is compared is the file, and the process after it was emptied and filled.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/stat.h>
#include <time.h>

#include "image/checksum/checksum.h"
#include "image/pages/pages.h"
#include "plugin/host/early.h"
#include "plugin/task/state.h"
#include "test/check.h"
#include "test/plugin/no_watcher.h"
#include "test/plugin/smaps_field.h"
#include "test/plugin/stopped_child.h"

#define KIB	     1024ull
#define MIB	     (1024 * KIB)
#define PAGE	     (4 * KIB)
#define BYTES	     (16 * MIB)
#define SHARED_BYTES (4 * MIB)
#define ADDED_BYTES  (4 * MIB)
#define ALL_BYTES    (BYTES + PAGE + SHARED_BYTES + PAGE + ADDED_BYTES)

/* At the same address in the child. Behind gaps, the shared memory and the driver's follow. */
static char *memory, *shared, *added;
static volatile int *step; /* of the child: 1 it lives, 2 it is to change, 3 it has changed */

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static void fill(char *at, uint64_t bytes, uint64_t seed)
{
	for (uint64_t i = 0; i < bytes / sizeof(uint64_t); i++)
		((uint64_t *)at)[i] = (i + seed) * 0x9e3779b97f4a7c15ull;
}

/* What the driver might do: nothing of it is announced. */
static void change(char *m)
{
	mmap(added, ADDED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	     -1, 0);
	fill(added, ADDED_BYTES - MIB, 8);	     /* less than was expected */
	fill(m + MIB, 64 * KIB, 2);		     /* written */
	m[3 * MIB + 5] ^= 1;			     /* one bit */
	madvise(m + 4 * MIB, MIB, MADV_DONTNEED);    /* empty */
	munmap(m + 6 * MIB, MIB);		     /* gone */
	mprotect(m + 8 * MIB, 128 * KIB, PROT_READ); /* a mapping of its own */
	mmap(m + 9 * MIB, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
	     0);
	fill(m + 9 * MIB, MIB / 2, 3); /* another one */
	mremap(m + 10 * MIB, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED, m + 5 * MIB); /* moved */
	fill(m + 12 * MIB, 2 * MIB, 6);		  /* no hole any more */
	fill(m + BYTES - 512 * KIB, 64 * KIB, 7); /* longer */
	fill(shared + MIB, 64 * KIB, 4);
}

static void live(void)
{
	mmap(shared, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
	     -1, 0);
	fill(memory, BYTES - 512 * KIB, 1);
	madvise(memory + 12 * MIB, 2 * MIB, MADV_DONTNEED); /* a hole */
	fill(shared, SHARED_BYTES, 5);
	*step = 1;
	while (*step != 2)
		nap();
	change(memory);
	*step = 3;
	for (;;)
		pause();
}

static pid_t start_running(void)
{
	const pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		live();
	}
	while (*step != 1)
		nap();
	return pid;
}

static void freeze(pid_t pid)
{
	int status;

	CHECK(!ptrace(PTRACE_SEIZE, pid, NULL, 0));
	CHECK(!ptrace(PTRACE_INTERRUPT, pid, NULL, 0));
	CHECK(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status));
}

/* No page table of the process tells. */
static void write_from_here(pid_t pid, char *address)
{
	char byte = 77;
	const struct iovec here = {&byte, 1}, there = {address, 1};

	CHECK(process_vm_writev(pid, &here, 1, &there, 1, 0) == 1);
}

/* What is not mapped or not readable counts as zeroes. */
static char *read_all(pid_t pid)
{
	char *found = calloc(1, ALL_BYTES);

	for (uint64_t i = 0; i < ALL_BYTES; i += PAGE) {
		const struct iovec here = {found + i, PAGE}, there = {memory + i, PAGE};

		process_vm_readv(pid, &here, 1, &there, 1, 0);
	}
	return found;
}

static void describe(struct ccr_pages *pages, const struct remap_plan *plan)
{
	*pages = (struct ccr_pages){.pid = 1,
				    .size = plan->file_size,
				    .chunk_size = REMAP_CHUNK,
				    .nr_chunks = (plan->file_size + REMAP_CHUNK - 1) / REMAP_CHUNK,
				    .nr_mappings = plan->nr_pieces,
				    .nr_emptied = plan->nr_mappings};
	pages->xxh3 = calloc(pages->nr_chunks, sizeof(*pages->xxh3));
	pages->mappings = calloc(plan->nr_pieces, sizeof(*pages->mappings));
	pages->emptied = calloc(plan->nr_mappings, sizeof(*pages->emptied));
	for (size_t i = 0; i < plan->nr_pieces; i++)
		pages->mappings[i] = (struct ccr_pages_mapping){
			plan->pieces[i].address, plan->pieces[i].size, plan->pieces[i].offset,
			false, plan->pieces[i].mapping->is_shared};
	for (size_t i = 0; i < plan->nr_mappings; i++)
		pages->emptied[i] = (struct ccr_pages_emptied){
			plan->mappings[i].address, plan->mappings[i].size, plan->mappings[i].prot,
			!plan->mappings[i].keeps_access, false};
}

static void finish(struct work *work)
{
	int ret = -1;

	ccr__work_add(work);
	while (!ccr__work_is_done(work, &ret))
		nap();
	CHECK(!ret);
}

static void wait_until_copied(struct early *early, int fd)
{
	const struct remap_range range = {(uintptr_t)added, (uintptr_t)added + ADDED_BYTES};
	struct stat st = {0};

	ccr__early_expect(early, &range);

	/* The end of the memory and the hole are not. */
	while (st.st_blocks * 512 < (off_t)(BYTES - 5 * MIB / 2 + SHARED_BYTES + ADDED_BYTES)) {
		ccr__early_advance(early, fd);
		nap();
		CHECK(!fstat(fd, &st));
	}
}

/* Nothing but the parts may be in the file: the rest counts as zeroes. */
static bool has_only_parts(const struct remap_plan *plan, int fd)
{
	char *file = calloc(1, plan->file_size), *zeroes = calloc(1, plan->file_size);
	uint64_t at = 0;
	bool is_right = true;

	CHECK(pread(fd, file, plan->file_size, 0) == (ssize_t)plan->file_size);
	for (size_t i = 0; i <= plan->nr_parts; i++) {
		const uint64_t next = i < plan->nr_parts ? plan->parts[i].offset : plan->file_size;

		is_right &= next >= at && !memcmp(file + at, zeroes, next - at);
		if (i < plan->nr_parts)
			at = next + plan->parts[i].size;
	}
	free(file);
	free(zeroes);
	return is_right;
}

/* When the driver is done. */
enum end { ALL_IS_COPIED, SOME_IS_COPIED, NOTHING_IS_COPIED, CANCELED };

struct run {
	pid_t pid;
	int fd; /* the page file */
	struct remap_ranges before;
	struct early *early;
	struct remap_plan plan;
	struct ccr_pages pages;
};

static void begin(struct run *c, enum end end)
{
	*step = 0;
	c->pid = start_running();
	c->fd = memfd_create("pages", MFD_CLOEXEC);
	CHECK(!ccr__work_start());
	CHECK(!ccr__remap_ranges(&c->before, c->pid));
	c->early = ccr__early_begin(c->pid, &c->before, MIB);
	CHECK(c->early);
	if (end == ALL_IS_COPIED)
		wait_until_copied(c->early, c->fd);
	else if (end == SOME_IS_COPIED)
		ccr__early_advance(c->early, c->fd);
	*step = 2;
	while (*step != 3)
		nap();
	freeze(c->pid);
	write_from_here(c->pid, memory + 7 * MIB + 1);
}

static uint64_t place_of(const struct remap_plan *plan, const char *address)
{
	for (size_t i = 0; i < plan->nr_pieces; i++)
		if (plan->pieces[i].address == (uintptr_t)address)
			return plan->pieces[i].offset;
	return UINT64_MAX;
}

static void complete(struct run *c, enum end end)
{
	const struct remap_wishes wishes = {
		.min_bytes = MIB, .before = &c->before, .early = ccr__early_plan(c->early)};
	struct remap_copy *copy;
	uint64_t early, again, expected_end;

	CHECK(end != ALL_IS_COPIED || wishes.early);
	CHECK(!ccr__remap_choose(&c->plan, c->pid, &wishes));
	describe(&c->pages, &c->plan);
	CHECK(!ftruncate(c->fd, c->plan.file_size));
	copy = ccr__early_end(c->early);
	expected_end = wishes.early ? wishes.early->file_size : 0;
	if (copy)
		CHECK(!ccr__remap_copy_again(copy, &c->plan, c->fd, c->pages.xxh3));
	else
		CHECK(!ccr__remap_copy_begin(&copy, &c->plan, c->pid, c->fd, c->pages.xxh3));
	ccr__early_free(c->early);
	finish(ccr__remap_copy_work(copy));
	ccr__remap_copy_count(copy, &early, &again);
	ccr__remap_copy_end(copy);
	ccr__work_stop();
	if (end == ALL_IS_COPIED)
		CHECK(early >= 14 * MIB && again >= 5 * PAGE && again < 8 * MIB);
	CHECK(has_only_parts(&c->plan, c->fd));
	CHECK(end != ALL_IS_COPIED || place_of(&c->plan, added) < expected_end);
	for (size_t i = 1; i < c->plan.nr_pieces; i++)
		CHECK(c->plan.pieces[i - 1].address + c->plan.pieces[i - 1].size <=
		      c->plan.pieces[i].address);
}

static void empty_and_fill(struct run *c)
{
	char *expected = read_all(c->pid), *found;
	uint64_t filled;
	size_t emptied;

	CHECK(!ccr__remap_empty(&c->plan, c->pid, -1, &emptied) && emptied == c->plan.nr_mappings);
	CHECK(smaps_field(c->pid, memory, "Rss") == 0);
	CHECK(!ccr__remap_fill(c->pid, &c->pages, c->fd, &filled));
	found = read_all(c->pid);
	CHECK(!memcmp(expected, found, ALL_BYTES));
	free(expected);
	free(found);
	free(c->pages.xxh3);
	free(c->pages.mappings);
	free(c->pages.emptied);
	ccr__remap_free(&c->plan);
}

static void run(enum end end)
{
	struct run c = {0};

	begin(&c, end);
	if (end == CANCELED) {
		ccr__work_stop();
		ccr__early_free(c.early);
	} else {
		complete(&c, end);
		empty_and_fill(&c);
	}
	free(c.before.list);
	close(c.fd);
	stop(c.pid);
}

int main(void)
{
	char *apart;

	ccr__plugin.settings.step_timeout_ms = 60000;
	ccr__plugin.settings.streams = 2;
	ccr__plugin.settings.verify = 1;
	alarm(120);
	step = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* Between inaccessible pages: the kernel merges neighbors. */
	apart = mmap(NULL, ALL_BYTES + 4 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory = (char *)(((uintptr_t)apart + 2 * MIB) & ~(2 * MIB - 1));
	shared = memory + BYTES + PAGE;
	added = shared + SHARED_BYTES + PAGE;
	mmap(memory, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (enum end end = ALL_IS_COPIED; end <= CANCELED; end++)
		run(end);
	return failures ? 1 : 0;
}
