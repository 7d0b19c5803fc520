// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver maps memory and pins it with one call, in which the kernel lets no
 * other thread change the list of mappings. Threads of the stopped process must
 * populate the memory meanwhile, from its end, whatever their number is. What is
 * compared is what was populated before the driver was done, the threads, and the
 * number of messages to the watcher.
 */
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
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

#include "plugin/host/host.h"
#include "plugin/host/populate.h"
#include "plugin/trace/proc_status.h"
#include "test/check.h"
#include "test/plugin/no_watcher.h"

#define MIB	    (1ull << 20)
#define MAX_THREADS 9
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Of the child and this process. */
static struct shared {
	volatile pid_t tids[MAX_THREADS]; /* the first is the driver's */
	volatile bool is_called, is_done;
	uint64_t bytes; /* that the driver maps */
} * shared;

static unsigned long long populated; /* as the log says */
static unsigned int messages_before; /* the call of the driver */
static long switches;		     /* of the threads, in that time */
static unsigned int injected;	     /* threads that ran our system calls */

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* ---- the driver ---- */

static void call_driver(void)
{
	messages_before = to_watcher.messages;
	shared->is_called = true;
	while (!shared->is_done)
		if (!ccr__populate_some())
			nap();
}

/* No memory is saved. */
void ccr__host_memory_expect(pid_t pid, const struct remap_range *range)
{
	CHECK(range->end - range->start >= shared->bytes);
}

/* In the child. */
static void *be_driver(void *unused)
{
	void *memory;

	shared->tids[0] = syscall(SYS_gettid);
	while (!shared->is_called)
		nap();
	memory = mmap(NULL, shared->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	madvise(memory, shared->bytes, MADV_NOHUGEPAGE); /* more time for the others */
	madvise(memory, shared->bytes, MADV_POPULATE_WRITE);
	shared->is_done = true;
	for (;;)
		pause();
	return NULL;
}

/* ---- the process ---- */

static void *wait_for_ever(void *data)
{
	shared->tids[(long)data] = syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

static pid_t start(long nr_threads)
{
	const pid_t pid = fork();
	pthread_t thread;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pthread_create(&thread, NULL, be_driver, NULL);
		for (long i = 2; i <= nr_threads; i++)
			pthread_create(&thread, NULL, wait_for_ever, (void *)i);
		wait_for_ever((void *)1L);
	}
	for (long i = 0; i <= nr_threads; i++)
		while (!shared->tids[i])
			nap();
	return pid;
}

static void stop_threads(long nr_threads)
{
	int status;

	for (long i = 1; i <= nr_threads; i++) {
		CHECK(!ptrace(PTRACE_SEIZE, shared->tids[i], NULL, 0));
		CHECK(!ptrace(PTRACE_INTERRUPT, shared->tids[i], NULL, 0));
		CHECK(waitpid(shared->tids[i], &status, __WALL) == shared->tids[i]);
	}
}

/* How often the threads have stopped or waited. */
static long count_switches(long nr_threads)
{
	long nr = 0;
	char text[32];

	for (long i = 1; i <= nr_threads; i++)
		if (!ccr__proc_status(shared->tids[i], "voluntary_ctxt_switches", text,
				      sizeof(text)))
			nr += strtol(text, NULL, 10);
	return nr;
}

struct thread_state {
	struct user_regs_struct regs;
	unsigned long long sigmask;
};

static struct thread_state read_state(pid_t tid)
{
	struct thread_state state = {0};
	struct iovec iov = {&state.regs, sizeof(state.regs)};

	CHECK(!ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov));
	CHECK(!ptrace(PTRACE_GETSIGMASK, tid, sizeof(state.sigmask), &state.sigmask));
	return state;
}

static void note_populated(enum ccr_log_level level, const char *line)
{
	const char *found = strstr(line, " bytes populated ahead of the driver");

	while (found && found > line && found[-1] != ' ')
		found--;
	if (found)
		populated = strtoull(found, NULL, 10);
}

/* Returns the number of messages to the watcher since the driver was called. */
static unsigned int run(long nr_threads, uint64_t bytes)
{
	struct thread_state before[MAX_THREADS], after;
	struct remap_ranges ranges = {0};
	struct task task = {0};

	memset((void *)shared, 0, sizeof(*shared));
	shared->bytes = bytes;
	populated = 0;
	to_watcher = (struct to_watcher){0};
	task.pid = start(nr_threads);
	task.restore_tid = shared->tids[0];
	stop_threads(nr_threads);
	for (long i = 1; i <= nr_threads; i++)
		before[i] = read_state(shared->tids[i]);
	CHECK(!ccr__remap_ranges(&ranges, task.pid));
	switches = count_switches(nr_threads);
	ccr__populate_begin(&task, &ranges);
	call_driver();
	CHECK(!ccr__populate_end(task.pid));
	switches = count_switches(nr_threads) - switches;
	for (long i = 1; i <= nr_threads; i++) {
		after = read_state(shared->tids[i]);
		CHECK(!memcmp(&before[i], &after, sizeof(after)));
	}
	injected = to_watcher.injected;
	free(ranges.list);
	kill(task.pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	return to_watcher.messages - messages_before;
}

int main(void)
{
	unsigned int with_one, with_many;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 1;
	ccr__plugin.settings.step_timeout_ms = 60000;
	ccr_log_set_sink(note_populated);
	alarm(120);
	with_one = run(1, 768 * MIB);
	CHECK(populated > 0 && injected == 1);
	with_many = run(MAX_THREADS - 1, 768 * MIB);
	CHECK(populated > 0 && injected > 1 && switches > 0);
	CHECK(with_many == with_one);
	/* Nothing is worth it: no thread is disturbed. */
	run(MAX_THREADS - 1, 16 * MIB);
	CHECK(populated == 0 && injected == 0);
	CHECK(switches == 0);
	return failures ? 1 : 0;
}
