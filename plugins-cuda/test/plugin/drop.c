// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several threads of a stopped process take its pages. What is compared is what is left in memory,
 * the bytes after it was filled again, the state of the threads, and how many were used.
 */
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/remap.h"
#include "plugin/inject/inject.h"
#include "plugin/task/state.h"
#include "test/check.h"
#include "test/plugin/no_watcher.h"
#include "test/plugin/smaps_field.h"

#define MIB	    (1ull << 20)
#define MAX_THREADS 8
#define LARGE	    (96 * MIB)
#define SMALL	    (4 * MIB)

static volatile pid_t *tids; /* shared with the child; the first thread is its leader */
static char *large, *small;
static uint64_t refused; /* the kernel does not take the pages of the piece at this address */

int __real_ccr__inject_start(struct injection *in, long number, const uint64_t arguments[6]);
int __wrap_ccr__inject_start(struct injection *in, long number, const uint64_t arguments[6]);

int __wrap_ccr__inject_start(struct injection *in, long number, const uint64_t arguments[6])
{
	const uint64_t invalid[6] = {arguments[0], arguments[1], -1};
	const bool is_refused = number == SYS_madvise && arguments[0] == refused;

	return __real_ccr__inject_start(in, number, is_refused ? invalid : arguments);
}

struct thread_state {
	struct user_regs_struct regs;
	unsigned long long sigmask;
};

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static char *map(uint64_t bytes)
{
	/* Between inaccessible pages: the kernel merges neighbors. */
	char *apart = mmap(NULL, bytes + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mmap(apart + 4096, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void write_pattern(char *memory, uint64_t bytes, uint64_t seed)
{
	for (uint64_t i = 0; i < bytes / sizeof(uint64_t); i++)
		((uint64_t *)memory)[i] = (i + seed) * 0x9e3779b97f4a7c15ull;
}

static void *wait_for_ever(void *data)
{
	tids[(long)data] = syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

static pid_t start(long nr_threads, uint64_t bytes)
{
	const pid_t pid = fork();
	pthread_t thread;
	int status;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		write_pattern(large, bytes, 1);
		write_pattern(small, SMALL, 2);
		for (long i = 1; i < nr_threads; i++)
			pthread_create(&thread, NULL, wait_for_ever, (void *)i);
		wait_for_ever((void *)0L);
	}
	for (long i = 0; i < nr_threads; i++) {
		while (!tids[i])
			nap();
		CHECK(!ptrace(PTRACE_SEIZE, tids[i], NULL, 0));
		CHECK(!ptrace(PTRACE_INTERRUPT, tids[i], NULL, 0));
		CHECK(waitpid(tids[i], &status, __WALL) == tids[i]);
	}
	return pid;
}

static struct thread_state read_state(pid_t tid)
{
	struct thread_state state = {0};
	struct iovec iov = {&state.regs, sizeof(state.regs)};

	CHECK(!ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov));
	CHECK(!ptrace(PTRACE_GETSIGMASK, tid, sizeof(state.sigmask), &state.sigmask));
	return state;
}

static bool has_pattern(pid_t pid, const char *memory, uint64_t bytes, uint64_t seed)
{
	char *expected = malloc(bytes), *found = calloc(1, bytes);
	const struct iovec local = {found, bytes}, remote = {(void *)memory, bytes};
	bool is_same;

	write_pattern(expected, bytes, seed);
	is_same = process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes &&
		  !memcmp(expected, found, bytes);
	free(expected);
	free(found);
	return is_same;
}

/* As page_file.c does. */
static void describe(struct ccr_pages *pages, const struct remap_plan *plan)
{
	*pages = (struct ccr_pages){
		.size = plan->file_size,
		.chunk_size = REMAP_CHUNK,
		.nr_chunks = (plan->file_size + REMAP_CHUNK - 1) / REMAP_CHUNK,
		.nr_mappings = plan->nr_pieces,
		.nr_emptied = plan->nr_mappings,
	};
	pages->xxh3 = calloc(pages->nr_chunks, sizeof(*pages->xxh3));
	pages->mappings = calloc(plan->nr_pieces, sizeof(*pages->mappings));
	pages->emptied = calloc(plan->nr_mappings, sizeof(*pages->emptied));
	for (size_t i = 0; i < plan->nr_pieces; i++) {
		const struct remap_piece *p = &plan->pieces[i];

		pages->mappings[i] = (struct ccr_pages_mapping){
			.address = p->address, .size = p->size, .offset = p->offset};
	}
	for (size_t i = 0; i < plan->nr_mappings; i++) {
		const struct remap_mapping *m = &plan->mappings[i];

		pages->emptied[i] = (struct ccr_pages_emptied){m->address, m->size, m->prot,
							       !m->keeps_access, m->may_be_late};
	}
}

static void copy(const struct remap_plan *plan, pid_t pid, int fd, uint64_t *xxh3)
{
	struct remap_copy *copying;
	int result;

	CHECK(!ccr__work_start());
	CHECK(!ccr__remap_copy_begin(&copying, plan, pid, fd, xxh3));
	ccr__work_add(ccr__remap_copy_work(copying));
	while (!ccr__work_is_done(ccr__remap_copy_work(copying), &result))
		nap();
	CHECK(!result);
	ccr__remap_copy_end(copying);
	ccr__work_stop();
}

static bool is_right(pid_t pid, uint64_t bytes)
{
	return has_pattern(pid, large, bytes, 1) && has_pattern(pid, small, SMALL, 2);
}

/* Returns how many other threads have helped the leader. */
static unsigned int run(long nr_threads, uint64_t bytes)
{
	const struct remap_wishes wishes = {.min_bytes = MIB};
	struct thread_state before[MAX_THREADS], after;
	const int fd = memfd_create("pages", MFD_CLOEXEC);
	struct remap_plan plan;
	struct ccr_pages pages;
	unsigned int injected;
	uint64_t filled;
	size_t emptied;
	pid_t pid;

	memset((void *)tids, 0, MAX_THREADS * sizeof(*tids));
	pid = start(nr_threads, bytes);
	for (long i = 0; i < nr_threads; i++)
		before[i] = read_state(tids[i]);
	CHECK(!ccr__remap_choose(&plan, pid, &wishes));
	describe(&pages, &plan);
	CHECK(!ftruncate(fd, plan.file_size));
	copy(&plan, pid, fd, pages.xxh3);
	to_watcher = (struct to_watcher){0};
	CHECK(!ccr__remap_empty(&plan, pid, -1, &emptied));
	injected = to_watcher.injected;
	/* Also when only some of its pages are gone: its bytes are no longer all in memory. */
	CHECK(emptied == plan.nr_mappings);
	CHECK(!smaps_field(pid, large, "Rss") == !refused && smaps_field(pid, small, "Rss") == 0);
	for (long i = 0; i < nr_threads; i++) {
		after = read_state(tids[i]);
		CHECK(!memcmp(&before[i], &after, sizeof(after)));
	}
	CHECK(!ccr__remap_fill(pid, &pages, fd, &filled) && is_right(pid, bytes));
	kill(pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	close(fd);
	free(pages.xxh3);
	free(pages.mappings);
	free(pages.emptied);
	ccr__remap_free(&plan);
	/* The leader's injection is announced twice: before and after it has its scratch pages. */
	return injected - 2;
}

int main(void)
{
	tids = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	large = map(LARGE);
	small = map(SMALL);
	ccr__plugin.settings.step_timeout_ms = 60000;
	ccr__plugin.settings.streams = 4;
	ccr__plugin.settings.verify = 1;
	alarm(120);
	CHECK(run(MAX_THREADS, LARGE) == 4);
	CHECK(run(3, LARGE) == 2);
	CHECK(run(1, LARGE) == 0);
	CHECK(run(MAX_THREADS, SMALL) == 0); /* not worth it */
	refused = (uintptr_t)large;
	CHECK(run(3, LARGE) == 2);
	return failures ? 1 : 0;
}
