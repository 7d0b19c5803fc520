// SPDX-License-Identifier: MIT
/*
 * --kinds: host memory of every kind that a process may have, filled with a
 * pattern. It is allocated before the forks, so that children share its pages
 * with their parent until one of them writes; each process then writes one
 * page. Two threads keep writing to their stacks and check for lost writes.
 */
#include "workloads/kinds.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MADV_GUARD_INSTALL /* Linux 6.13 */
#define MADV_GUARD_INSTALL 102
#endif

#define PAGE	     4096u
#define HOLES_PERIOD (16u << 20) /* the first KIND_BYTES of each are filled */
#define APART	     (2u << 20)	 /* size of a huge page */
#define STACK_WORDS  ((2u << 20) / sizeof(uint64_t))

enum { PLAIN, ADVICE, PROTECT, NAMED, LOCKED, GUARDED, HEAP, HOLES };

static struct kind {
	const char *name;
	int what, value; /* advice or protection */
	int flags;	 /* for mmap */
	uint64_t bytes;
	uint64_t *memory; /* NULL: this kernel does not have it */
} kinds[] = {
	{"plain", PLAIN, 0, MAP_PRIVATE, KIND_BYTES, NULL},
	{"small", PLAIN, 0, MAP_PRIVATE, 256u << 10, NULL},
	{"holes", HOLES, 0, MAP_PRIVATE | MAP_NORESERVE, 4 * HOLES_PERIOD, NULL},
	{"heap", HEAP, 0, 0, KIND_BYTES, NULL},
	{"forked", PLAIN, 0, MAP_PRIVATE, KIND_BYTES, NULL},
	{"readonly", PROTECT, PROT_READ, MAP_PRIVATE, KIND_BYTES, NULL},
	{"executable", PROTECT, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, KIND_BYTES, NULL},
	{"none", PROTECT, PROT_NONE, MAP_PRIVATE, KIND_BYTES, NULL},
	{"dontfork", ADVICE, MADV_DONTFORK, MAP_PRIVATE, KIND_BYTES, NULL},
	{"dontdump", ADVICE, MADV_DONTDUMP, MAP_PRIVATE, KIND_BYTES, NULL},
	{"wipeonfork", ADVICE, MADV_WIPEONFORK, MAP_PRIVATE, KIND_BYTES, NULL},
	{"hugepage", ADVICE, MADV_HUGEPAGE, MAP_PRIVATE, KIND_BYTES, NULL},
	{"nohugepage", ADVICE, MADV_NOHUGEPAGE, MAP_PRIVATE, KIND_BYTES, NULL},
	{"sequential", ADVICE, MADV_SEQUENTIAL, MAP_PRIVATE, KIND_BYTES, NULL},
	{"named", NAMED, 0, MAP_PRIVATE, KIND_BYTES, NULL},
	{"locked", LOCKED, 0, MAP_PRIVATE, KIND_BYTES, NULL},
	{"growsdown", PLAIN, 0, MAP_PRIVATE | MAP_GROWSDOWN, KIND_BYTES, NULL},
	{"guarded", GUARDED, 0, MAP_PRIVATE, KIND_BYTES, NULL},
	{"shared", PLAIN, 0, MAP_SHARED, KIND_BYTES, NULL},
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static int role; /* 0: the first process, n: its nth child */
static volatile bool stack_mismatch;
static uint64_t stack_rounds;

static uint64_t word(size_t kind, uint64_t index)
{
	return (kind + 1) * 0x9e3779b97f4a7c15ull ^ index * 0xff51afd7ed558ccdull;
}

static bool is_filled(const struct kind *kind, uint64_t index)
{
	const uint64_t byte = index * sizeof(uint64_t);

	if (kind->what == HOLES)
		return byte % HOLES_PERIOD < KIND_BYTES;
	return kind->what != GUARDED || byte >= PAGE;
}

static int prepare(struct kind *kind)
{
	switch (kind->what) {
	case ADVICE:
		return madvise(kind->memory, kind->bytes, kind->value);
	case PROTECT:
		return mprotect(kind->memory, kind->bytes, kind->value);
	case NAMED:
		return prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, kind->memory, kind->bytes, "kinds");
	case LOCKED:
		return mlock(kind->memory, kind->bytes);
	case GUARDED:
		return madvise(kind->memory, PAGE, MADV_GUARD_INSTALL);
	}
	return 0;
}

/* Maps memory between inaccessible pages, because the kernel merges adjacent mappings of a kind. */
static void *map_apart(const struct kind *kind)
{
	const int protection = PROT_READ | PROT_WRITE, flags = kind->flags | MAP_ANONYMOUS;
	uint8_t *apart = mmap(NULL, kind->bytes + 2 * APART, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (apart == MAP_FAILED)
		return MAP_FAILED;
	return mmap(apart + APART, kind->bytes, protection, flags | MAP_FIXED, -1, 0);
}

static int make(size_t index)
{
	struct kind *kind = &kinds[index];
	void *memory = kind->what == HEAP ? sbrk(kind->bytes) : map_apart(kind);

	if (memory == MAP_FAILED)
		return -1;
	kind->memory = memory;
	for (uint64_t i = 0; i < kind->bytes / sizeof(uint64_t); i++)
		if (is_filled(kind, i))
			kind->memory[i] = word(index, i);
	if (!prepare(kind))
		return 0;
	/* This kernel does not have the kind. */
	kind->memory = NULL;
	return munmap(memory, kind->bytes);
}

/* A lost page and an old page both have a value from another round. */
static void *write_stack(void *unused)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	volatile uint64_t words[STACK_WORDS];

	for (uint64_t round = 1;; round++) {
		for (size_t i = 0; i < STACK_WORDS; i++)
			words[i] = round;
		for (size_t i = 0; i < STACK_WORDS; i++)
			stack_mismatch |= words[i] != round;
		__atomic_add_fetch(&stack_rounds, 1, __ATOMIC_RELAXED);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

int kinds_make(void)
{
	for (size_t i = 0; i < NR_KINDS; i++)
		if (make(i))
			return -1;
	return 0;
}

int kinds_start(int which)
{
	pthread_t thread;

	role = which;
	for (size_t i = 0; i < NR_KINDS; i++)
		if (!strcmp(kinds[i].name, "forked"))
			kinds[i].memory[role * PAGE / sizeof(uint64_t)] = role;
	for (int i = 0; i < 2; i++) {
		if (pthread_create(&thread, NULL, write_stack, NULL))
			return -1;
		pthread_detach(thread);
	}
	return 0;
}

/* Reads with a system call, which fails on a guard page, where a load would end the process. */
static bool is_guarded(const void *address)
{
	char byte;
	const struct iovec local = {&byte, 1}, remote = {(void *)address, 1};

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1;
}

static uint64_t expected(size_t index, uint64_t i)
{
	const struct kind *kind = &kinds[index];

	if (!is_filled(kind, i) || (role && kind->value == MADV_WIPEONFORK && kind->what == ADVICE))
		return 0;
	if (!strcmp(kind->name, "forked") && i == role * PAGE / sizeof(uint64_t))
		return role;
	return word(index, i);
}

static bool check(size_t index)
{
	const struct kind *kind = &kinds[index];
	const bool is_hidden = kind->what == PROTECT && kind->value == PROT_NONE;
	bool is_right = true;
	uint64_t i = 0;

	if (kind->what == GUARDED) {
		is_right = is_guarded(kind->memory);
		i = PAGE / sizeof(uint64_t);
	}
	if (is_hidden)
		mprotect(kind->memory, kind->bytes, PROT_READ);
	for (; is_right && i < kind->bytes / sizeof(uint64_t); i++)
		is_right = kind->memory[i] == expected(index, i);
	if (is_hidden)
		mprotect(kind->memory, kind->bytes, PROT_NONE);
	return is_right;
}

void kinds_answer(char *reply, size_t size)
{
	size_t used = snprintf(reply, size, "ok rounds=%" PRIu64, stack_rounds);

	if (stack_mismatch) {
		snprintf(reply, size, "error kinds stack: wrong data");
		return;
	}
	for (size_t i = 0; i < NR_KINDS; i++) {
		if (!kinds[i].memory ||
		    (role && kinds[i].value == MADV_DONTFORK && kinds[i].what == ADVICE))
			continue;
		if (!check(i)) {
			snprintf(reply, size, "error kinds %s: wrong data", kinds[i].name);
			return;
		}
		used += snprintf(reply + used, size - used, " %s=%" PRIxPTR, kinds[i].name,
				 (uintptr_t)kinds[i].memory);
	}
}

void kinds_change(void)
{
	for (size_t i = 0; i < NR_KINDS; i++)
		if (!strcmp(kinds[i].name, "plain"))
			memset(kinds[i].memory, 0xff, kinds[i].bytes);
}

static size_t find_kind(const char *name)
{
	size_t i = 0;

	while (i < NR_KINDS && strcmp(kinds[i].name, name))
		i++;
	return i;
}

bool kinds_drop(void)
{
	const size_t index = find_kind("plain");
	struct kind *kind = &kinds[index];
	bool is_zero = !madvise(kind->memory, kind->bytes, MADV_DONTNEED);

	for (uint64_t i = 0; is_zero && i < kind->bytes / sizeof(uint64_t); i++)
		is_zero = !kind->memory[i];
	for (uint64_t i = 0; i < kind->bytes / sizeof(uint64_t); i++)
		kind->memory[i] = word(index, i);
	return is_zero;
}

bool kinds_share(void)
{
	struct kind *kind = &kinds[find_kind("shared")];
	const uint64_t own = kind->memory[0];
	const pid_t child = fork();
	int status = -1;
	bool is_seen;

	if (!child) {
		kind->memory[0] = ~own;
		_exit(0);
	}
	is_seen = child > 0 && waitpid(child, &status, 0) == child && !status &&
		  kind->memory[0] == ~own;
	kind->memory[0] = own;
	return is_seen;
}

int kinds_make_executable(void)
{
	for (size_t i = 0; i < NR_KINDS; i++)
		if (!strcmp(kinds[i].name, "heap"))
			return mprotect((void *)((uintptr_t)kinds[i].memory & -(uintptr_t)PAGE),
					PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	return -1;
}
