// SPDX-License-Identifier: GPL-2.0-only
/*
 * Late memory: a thread of the child, as the driver's restore thread, uses and changes memory that
 * is not filled yet. What is compared is what it reads, and what the memory is in the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/host/late/late.h"
#include "plugin/host/remap/remap.h"
#include "plugin/task/state.h"
#include "test/check.h"
#include "test/plugin/no_watcher.h"

#define MIB   (1ull << 20)
#define PAGE  4096ull
#define BYTES (48 * MIB)
#define EMPTY (40 * MIB) /* from here on there are no pages, but the last one */

enum command { NOTHING, READ, DROP, UNMAP, PROTECT, MOVE, GROW, FORK };

/* Between the test and the thread of the child. */
static struct shared {
	atomic_int command;
	uint64_t at, size;
	uint64_t sum;
	atomic_int tids[2];
} * shared;

static char *memory;

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static uint64_t word(uint64_t at)
{
	return at < EMPTY || at >= BYTES - PAGE ? (at + 1) * 0x9e3779b97f4a7c15ull : 0;
}

static uint64_t sum_of(uint64_t at, uint64_t size)
{
	uint64_t sum = 0;

	for (uint64_t end = at + size; at < end; at += 8)
		sum = sum * 31 + *(volatile uint64_t *)(memory + at);
	return sum;
}

static void obey(enum command command, uint64_t at, uint64_t size)
{
	pid_t child;

	switch (command) {
	case READ:
		shared->sum = sum_of(at, size);
		break;
	case DROP:
		madvise(memory + at, size, MADV_DONTNEED);
		break;
	case UNMAP:
		munmap(memory + at, size);
		break;
	case PROTECT:
		mprotect(memory + at, size, PROT_READ);
		break;
	case MOVE:
		mremap(memory + at, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
		break;
	case GROW: /* where something was unmapped before */
		mremap(memory + at - PAGE, PAGE, PAGE + size, 0);
		break;
	case FORK:
		child = syscall(SYS_fork);
		if (!child)
			_exit(0);
		break;
	case NOTHING:
		break;
	}
}

static void *serve(void *unused)
{
	shared->tids[1] = syscall(SYS_gettid);
	for (;;) {
		const enum command command = shared->command;

		if (command == NOTHING) {
			nap();
			continue;
		}
		obey(command, shared->at, shared->size);
		shared->command = NOTHING;
	}
	return NULL;
}

static void run_child(void)
{
	pthread_t thread;
	sigset_t all;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigfillset(&all); /* as of a restore thread: a signal would stop it */
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (uint64_t at = 0; at < BYTES; at += 8)
		if (word(at))
			*(uint64_t *)(memory + at) = word(at);
	pthread_create(&thread, NULL, serve, NULL);
	shared->tids[0] = syscall(SYS_gettid);
	for (;;)
		pause();
}

/* A child whose memory was emptied, and is late; its second thread runs. */
struct case_state {
	pid_t pid;
	int fd;
	struct remap_plan plan;
	struct ccr_pages pages;
	struct remap_fill *fill;
};

static pid_t start(void)
{
	const pid_t pid = fork();
	int status;

	if (!pid)
		run_child();
	for (int i = 0; i < 2; i++) {
		while (!shared->tids[i])
			nap();
		CHECK(!ptrace(PTRACE_SEIZE, shared->tids[i], NULL, 0));
		CHECK(!ptrace(PTRACE_INTERRUPT, shared->tids[i], NULL, 0));
		CHECK(waitpid(shared->tids[i], &status, __WALL) == shared->tids[i]);
	}
	return pid;
}

static void work(struct work *work)
{
	char *buffer = malloc(WORK_BUFFER);
	int ret = 0;

	for (size_t i = 0; !ret && i < work->nr_pieces; i++)
		ret = work->run(work->data, i, buffer);
	CHECK(!ret);
	free(buffer);
}

static void describe(struct case_state *c)
{
	c->pages = (struct ccr_pages){
		.size = c->plan.file_size,
		.chunk_size = REMAP_CHUNK,
		.nr_chunks = (c->plan.file_size + REMAP_CHUNK - 1) / REMAP_CHUNK,
		.nr_mappings = c->plan.nr_pieces,
		.nr_emptied = c->plan.nr_mappings,
	};
	c->pages.xxh3 = calloc(c->pages.nr_chunks, sizeof(*c->pages.xxh3));
	c->pages.mappings = calloc(c->plan.nr_pieces, sizeof(*c->pages.mappings));
	c->pages.emptied = calloc(c->plan.nr_mappings, sizeof(*c->pages.emptied));
	for (size_t i = 0; i < c->plan.nr_pieces; i++) {
		const struct remap_piece *p = &c->plan.pieces[i];

		c->pages.mappings[i] = (struct ccr_pages_mapping){
			.address = p->address, .size = p->size, .offset = p->offset};
	}
	for (size_t i = 0; i < c->plan.nr_mappings; i++) {
		const struct remap_mapping *m = &c->plan.mappings[i];

		c->pages.emptied[i] = (struct ccr_pages_emptied){m->address, m->size, m->prot,
								 !m->keeps_access, m->may_be_late};
	}
}

/* Returns false where this kernel or its settings do not allow late memory. */
static bool begin(struct case_state *c)
{
	const struct remap_wishes wishes = {.min_bytes = MIB, .is_unpinned = true};
	struct remap_copy *copy;
	size_t emptied;

	memset(shared, 0, sizeof(*shared));
	c->fd = memfd_create("pages", MFD_CLOEXEC);
	c->pid = start();
	CHECK(!ccr__remap_choose(&c->plan, c->pid, &wishes));
	describe(c);
	CHECK(!ftruncate(c->fd, c->plan.file_size));
	CHECK(!ccr__remap_copy_begin(&copy, &c->plan, c->pid, c->fd, c->pages.xxh3));
	work(ccr__remap_copy_work(copy));
	ccr__remap_copy_end(copy);
	CHECK(!ccr__remap_empty(&c->plan, c->pid, -1, &emptied) && emptied);
	CHECK(!ccr__remap_fill_begin(&c->fill, c->pid, &c->pages, c->fd, true));
	if (!ccr__remap_fill_late_work(c->fill))
		return false;
	work(ccr__remap_fill_work(c->fill));
	CHECK(!ccr__remap_fill_first_end(c->fill, 0));
	CHECK(!ptrace(PTRACE_CONT, shared->tids[1], NULL, 0));
	return true;
}

/* Has the thread do it; it is as the restore thread. */
static void ask(enum command command, uint64_t at, uint64_t size)
{
	shared->at = at;
	shared->size = size;
	shared->command = command;
	while (shared->command != NOTHING)
		nap();
}

static void end(struct case_state *c)
{
	kill(c->pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	ccr__late_forget();
	close(c->fd);
	free(c->pages.xxh3);
	free(c->pages.mappings);
	free(c->pages.emptied);
	ccr__remap_free(&c->plan);
}

/* `dropped`: pages from `at` on are zero. */
static bool is_right(pid_t pid, uint64_t from, uint64_t to, uint64_t at, uint64_t dropped)
{
	uint64_t *found = malloc(to - from);
	const struct iovec local = {found, to - from}, remote = {memory + from, to - from};
	bool is_same = process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)(to - from);

	for (uint64_t i = from; is_same && i < to; i += 8)
		is_same = found[(i - from) / 8] == (i - at < dropped ? 0 : word(i));
	free(found);
	return is_same;
}

/* No mapping is registered any more, and the child has no descriptor of ours. */
static bool is_ordinary(pid_t pid)
{
	char path[64], line[512];
	bool is_found = false;
	FILE *smaps;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	smaps = fopen(path, "re");
	while (smaps && fgets(line, sizeof(line), smaps))
		is_found |= !strncmp(line, "VmFlags:", 8) && strstr(line, " um ");
	if (smaps)
		fclose(smaps);
	for (int fd = 0; fd < 64; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		length = readlink(path, line, sizeof(line) - 1);
		line[length < 0 ? 0 : length] = '\0';
		is_found |= strstr(line, "userfaultfd") && !strstr(path, "self");
	}
	return smaps && !is_found;
}

/* Fills the rest while the thread is stopped, as at the end of a restore. */
static int finish(struct case_state *c, struct remap_filled *filled)
{
	int status;

	work(ccr__remap_fill_late_work(c->fill));
	CHECK(!ptrace(PTRACE_INTERRUPT, shared->tids[1], NULL, 0));
	CHECK(waitpid(shared->tids[1], &status, __WALL) == shared->tids[1]);
	return ccr__remap_fill_end(c->fill, 0, filled);
}

static bool test_read(void)
{
	static const uint64_t places[] = {0, 20 * MIB + 12288, EMPTY + MIB, BYTES - PAGE};
	struct remap_filled filled;
	struct case_state c = {0};

	if (!begin(&c)) {
		end(&c);
		return false;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		uint64_t expected = 0;

		ask(READ, places[i], PAGE);
		for (uint64_t at = places[i]; at < places[i] + PAGE; at += 8)
			expected = expected * 31 + word(at);
		CHECK(shared->sum == expected);
	}
	CHECK(!ccr__remap_fill_failure(c.fill));
	if (finish(&c, &filled)) {
		CHECK(!"it is filled");
		end(&c);
		return true;
	}
	CHECK(filled.faults >= 4 && filled.late >= EMPTY && filled.bytes >= filled.late);
	CHECK(is_right(c.pid, 0, BYTES, 0, 0) && is_ordinary(c.pid));
	end(&c);
	return true;
}

/* What the thread drops stays dropped, and what it splits is filled. */
static void test_drop(void)
{
	struct remap_filled filled;
	struct case_state c = {0};

	CHECK(begin(&c));
	ask(DROP, 7 * MIB, 2 * MIB);
	ask(PROTECT, 12 * MIB + PAGE, PAGE);
	ask(READ, 8 * MIB, PAGE);
	CHECK(shared->sum == 0);
	CHECK(!finish(&c, &filled));
	CHECK(is_right(c.pid, 0, BYTES, 7 * MIB, 2 * MIB) && is_ordinary(c.pid));
	end(&c);
}

/* `is_stuck`: the watcher does not close its descriptor. */
static void test_unmap(bool is_stuck)
{
	struct remap_filled filled;
	struct case_state c = {0};

	to_watcher.is_stuck = is_stuck;
	CHECK(begin(&c));
	ask(UNMAP, 7 * MIB, 2 * MIB);
	ask(GROW, 7 * MIB, MIB);
	CHECK(!finish(&c, &filled));
	CHECK(is_right(c.pid, 0, 8 * MIB, 7 * MIB, MIB) && is_right(c.pid, 9 * MIB, BYTES, 0, 0));
	CHECK(is_ordinary(c.pid));
	if (is_stuck)
		close(to_watcher.held);
	to_watcher.is_stuck = false;
	end(&c);
}

/* What cannot be followed: the task is not to run, and what waits has to wait until then. */
static void test_refused(enum command command)
{
	struct case_state c = {0};
	struct remap_filled unused;

	CHECK(begin(&c));
	ask(command, 7 * MIB, 2 * MIB);
	CHECK(ccr__remap_fill_failure(c.fill) == -ENOTSUP);
	CHECK(ccr__remap_fill_end(c.fill, -ECANCELED, &unused) == -ECANCELED);
	shared->at = 20 * MIB;
	shared->size = PAGE;
	shared->command = READ;
	for (int i = 0; i < 100; i++)
		nap();
	CHECK(shared->command == READ); /* nobody brings the page in, or gives zeroes */
	end(&c);
}

int main(void)
{
	char *apart = mmap(NULL, BYTES + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Between inaccessible pages: the kernel merges neighbors. */
	memory = mmap(apart + PAGE, BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	madvise(memory, BYTES, MADV_NOHUGEPAGE);
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ccr__plugin.settings.step_timeout_ms = 60000;
	ccr__plugin.settings.verify = 1;
	ccr__plugin.settings.late_memory = 1;
	ccr__plugin.watcher_fd = 0; /* there is one */
	if (!test_read())
		return failures ? 1 : 77;
	test_drop();
	test_unmap(false);
	test_unmap(true);
	test_refused(MOVE);
	test_refused(FORK);
	return failures != 0;
}
