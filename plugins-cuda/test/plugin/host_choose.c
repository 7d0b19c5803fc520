// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which mappings of a child with very many are chosen, ranges of addresses, and that
 * the mappings of all processes are read once, not once for each task.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "plugin/host/remap/remap.h"
#include "test/check.h"
#include "test/plugin/stopped_child.h"

#define PAGE	   4096ull
#define NR_MANY	   20000ull
#define MANY_LIMIT 16384u

static char *many;

static void make_many(void)
{
	many = mmap(NULL, 4 * NR_MANY * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (uint64_t i = 0; i < NR_MANY; i++) {
		/* the last 100 have two pages */
		const uint64_t size = i >= NR_MANY - 100 ? 2 * PAGE : PAGE;

		mprotect(many + 4 * i * PAGE, size, PROT_READ | PROT_WRITE);
		memset(many + 4 * i * PAGE, 1, size);
	}
}

static void test_budget(void)
{
	const struct remap_wishes wishes = {.min_bytes = PAGE};
	struct remap_plan plan;
	size_t nr_large = 0;
	pid_t pid;

	pid = start(make_many);
	CHECK(!ccr__remap_choose(&plan, pid, &wishes));
	CHECK(plan.nr_mappings == MANY_LIMIT);
	for (size_t i = 0; i < plan.nr_mappings; i++)
		nr_large += plan.mappings[i].size == 2 * PAGE;
	CHECK(nr_large >= 100);
	for (size_t i = 1; i < plan.nr_mappings; i++)
		CHECK(plan.mappings[i - 1].address < plan.mappings[i].address);
	for (size_t i = 1; i < plan.nr_pieces; i++)
		CHECK(plan.pieces[i - 1].offset + plan.pieces[i - 1].size <= plan.pieces[i].offset);
	ccr__remap_free(&plan);
	stop(pid);
}

static char *own, *common;

/* The child has a child, which has one of two mappings as well. */
static void fork_again(void)
{
	int ready[2];
	char byte;

	mprotect(common, PAGE, PROT_READ | PROT_WRITE);
	mprotect(own, PAGE, PROT_READ | PROT_WRITE);
	if (pipe(ready))
		return;
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		munmap(own, PAGE);
		close_range(3, ~0u, 0); /* of `start`, too */
		for (;;)
			pause();
	}
	close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 0);
	memset(common, 1, PAGE);
	memset(own, 1, PAGE);
}

static void test_children(void)
{
	const struct remap_wishes wishes = {.min_bytes = PAGE};
	const struct remap_mapping *kept = NULL, *hidden = NULL;
	struct remap_plan plan;
	pid_t pid;

	/* the same addresses in the child */
	common = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	own = common + 2 * PAGE;
	pid = start(fork_again);
	CHECK(!ccr__remap_choose(&plan, pid, &wishes));
	for (size_t i = 0; i < plan.nr_mappings; i++) {
		if (plan.mappings[i].address == (uintptr_t)common)
			kept = &plan.mappings[i];
		if (plan.mappings[i].address == (uintptr_t)own)
			hidden = &plan.mappings[i];
	}
	CHECK(kept && kept->keeps_access && !kept->is_in_use);
	CHECK(hidden && !hidden->keeps_access);
	ccr__remap_free(&plan);
	stop(pid);
}

static void test_ranges(void)
{
	static const struct remap_range added[] = {
		{10, 20}, {30, 40}, {50, 60}, {20, 25}, {35, 50}};
	struct remap_ranges ranges = {0};
	struct remap_range found;

	for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++)
		CHECK(!ccr__remap_add_range(&ranges, &added[i]));
	CHECK(ranges.nr == 2 && ranges.list[0].start == 10 && ranges.list[0].end == 25);
	CHECK(ranges.list[1].start == 30 && ranges.list[1].end == 60);
	CHECK(ccr__remap_find_new(&ranges, 0, 100, 5, &found) && found.start == 0 &&
	      found.end == 10);
	CHECK(ccr__remap_find_new(&ranges, 15, 100, 5, &found) && found.start == 25 &&
	      found.end == 30);
	CHECK(ccr__remap_find_new(&ranges, 15, 100, 6, &found) && found.start == 60);
	CHECK(!ccr__remap_find_new(&ranges, 30, 60, 1, &found));
	free(ranges.list);
}

#define NR_TASKS 3

static unsigned int nr_scans;

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);

/* The linker makes each call of opendir a call of this. */
DIR *__wrap_opendir(const char *path)
{
	nr_scans += !strcmp(path, "/proc");
	return __real_opendir(path);
}

static char *alone;

static void map_shared(void)
{
	alone = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(alone, 1, 4 * PAGE);
}

static void test_one_scan(void)
{
	const struct remap_wishes wishes = {.min_bytes = PAGE};
	pid_t pids[NR_TASKS];

	nr_scans = 0;
	for (int i = 0; i < NR_TASKS; i++)
		pids[i] = start(map_shared);
	for (int i = 0; i < NR_TASKS; i++) {
		struct remap_plan plan;
		size_t nr_shared = 0;

		CHECK(!ccr__remap_choose(&plan, pids[i], &wishes));
		for (size_t j = 0; j < plan.nr_mappings; j++)
			nr_shared += plan.mappings[j].is_shared;
		CHECK(nr_shared == 1);
		ccr__remap_free(&plan);
	}
	CHECK(nr_scans == 1);
	for (int i = 0; i < NR_TASKS; i++)
		stop(pids[i]);
}

int main(void)
{
	test_ranges();
	test_budget();
	test_children();
	test_one_scan();
	return failures ? 1 : 0;
}
