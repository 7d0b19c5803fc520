// SPDX-License-Identifier: MIT
// Failure injection: with SOFTCUDA_FAIL="function:nth:code[,...]" the nth call (from 1) of the
// named function in this process does nothing and returns that code. Names are those of exports;
// "cuMemAlloc" means its newest version. With the code "kill" the process is killed with SIGKILL
// instead, with "hang" the call never returns; but only in one of the processes that share the
// devices, so that a process that replaces it in the same environment is not affected. With
// SOFTCUDA_FAIL_COUNTS, all processes that have the same file there count together.
#include "softcuda/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_RULES 32
#define MAX_CALLS 256

static struct {
	pthread_once_t once;
	struct {
		unsigned int call;
		unsigned long nth;
		enum { FAIL, KILL, HANG } action;
		CUresult result;
	} rules[MAX_RULES];
	unsigned int nr_rules;
	atomic_ulong *counts; // of MAX_CALLS functions
} inject = {.once = PTHREAD_ONCE_INIT};

static atomic_ulong own_counts[MAX_CALLS];

static int call_of(const char *name, size_t length)
{
	int found = -1;

	for (size_t i = 0; i < ccr_nr_calls && i < MAX_CALLS; i++) {
		const char *have = ccr_symbols[i].name;

		if (strncmp(have, name, length))
			continue;
		if (!have[length])
			return (int)i;
		if (have[length] == '_' && have[length + 1] == 'v')
			found = (int)i;
	}
	return found;
}

static bool parse_rule(const char *text)
{
	const char *colon = strchr(text, ':');
	unsigned long nth, code;
	char *end;
	int call;

	if (!colon || inject.nr_rules == MAX_RULES)
		return false;
	call = call_of(text, (size_t)(colon - text));
	nth = strtoul(colon + 1, &end, 10);
	if (call < 0 || end == colon + 1 || *end != ':' || !nth)
		return false;
	text = end + 1;
	code = strtoul(text, &end, 10);
	inject.rules[inject.nr_rules].action = !strcmp(text, "kill")   ? KILL
					       : !strcmp(text, "hang") ? HANG
								       : FAIL;
	if (inject.rules[inject.nr_rules].action == FAIL &&
	    (end == text || *end || !code || code > 999))
		return false;
	inject.rules[inject.nr_rules].call = (unsigned int)call;
	inject.rules[inject.nr_rules].nth = nth;
	inject.rules[inject.nr_rules].result = (CUresult)code;
	inject.nr_rules++;
	return true;
}

static void share_counts(void)
{
	const char *path = getenv("SOFTCUDA_FAIL_COUNTS");
	void *counts;
	int fd;

	inject.counts = own_counts;
	if (!path || !*path)
		return;
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(own_counts))) {
		fprintf(stderr, "softcuda: SOFTCUDA_FAIL_COUNTS=%s: %s\n", path, strerror(errno));
		abort();
	}
	counts = mmap(NULL, sizeof(own_counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (counts == MAP_FAILED)
		abort();
	inject.counts = counts;
}

static void parse(void)
{
	const char *env = getenv("SOFTCUDA_FAIL");
	char *copy, *rule, *save = NULL;

	if (!env || !*env)
		return;
	copy = strdup(env);
	if (!copy)
		abort();
	for (rule = strtok_r(copy, ",", &save); rule; rule = strtok_r(NULL, ",", &save)) {
		if (parse_rule(rule))
			continue;
		// If an invalid rule were ignored, a test could pass for the wrong reason.
		fprintf(stderr, "softcuda: SOFTCUDA_FAIL: \"%s\" is not function:nth:code\n", rule);
		abort();
	}
	free(copy);
	share_counts();
}

static bool is_first(const char *what, unsigned int call, unsigned long nth)
{
	char mark[PATH_MAX];
	int fd;

	snprintf(mark, sizeof(mark), "%s/%s-%s-%lu", ccr_soft_settings()->dir, what,
		 ccr_symbols[call].name, nth);
	fd = open(mark, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno != EEXIST;
}

static void end_here(bool is_killed)
{
	if (is_killed)
		kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static void mark_failed(unsigned int call)
{
	const char *dir = getenv("SOFTCUDA_FAIL_MARKS");
	char mark[PATH_MAX];
	int fd;

	if (!dir)
		return;
	snprintf(mark, sizeof(mark), "%s/failed-%s", dir, ccr_symbols[call].name);
	fd = open(mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}

CUresult ccr_inject(unsigned int call)
{
	unsigned long count;

	pthread_once(&inject.once, parse);
	if (!inject.nr_rules)
		return CUDA_SUCCESS;
	count = atomic_fetch_add(&inject.counts[call], 1) + 1;
	for (unsigned int i = 0; i < inject.nr_rules; i++) {
		if (inject.rules[i].call != call || inject.rules[i].nth != count)
			continue;
		if (inject.rules[i].action != FAIL) {
			const bool is_killed = inject.rules[i].action == KILL;

			if (is_first(is_killed ? "killed" : "hung", call, count))
				end_here(is_killed);
			return CUDA_SUCCESS;
		}
		mark_failed(call);
		return inject.rules[i].result;
	}
	return CUDA_SUCCESS;
}
