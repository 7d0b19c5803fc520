// SPDX-License-Identifier: MIT
/*
 * Description: the look at a process with 10,000 mappings and 100 threads takes at
 * most 50 ms. The least of many looks counts, because the machine may be busy.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/elapsed.h"
#include "test/look/look_test.h"

#define MAPPINGS 10000
#define THREADS	 100
#define LOOKS	 20
#define LIMIT_MS 50

static void *wait_forever(void *unused)
{
	for (;;)
		pause();
	return NULL;
}

/* Every second page has another protection, so that the kernel does not merge them. */
static void become_large(int ready)
{
	const size_t page = 4096;
	char *memory = mmap(NULL, MAPPINGS * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attributes;
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < MAPPINGS; i += 2)
		if (memory == MAP_FAILED || mprotect(memory + i * page, page, PROT_READ))
			_exit(1);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * 1024);
	for (int i = 1; i < THREADS; i++)
		if (pthread_create(&thread, &attributes, wait_forever, NULL))
			_exit(1);
	if (write(ready, "", 1) != 1)
		_exit(1);
	wait_forever(NULL);
}

int main(void)
{
	double least = 1e9;
	int ready[2];
	pid_t child;
	char byte;

	look_begin("");
	CHECK(!pipe(ready));
	child = fork();
	if (!child)
		become_large(ready[1]);
	close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 1);
	request.root = NULL;
	request.pid = child;
	for (int i = 0; i < LOOKS; i++) {
		const struct ccr_look *look;
		struct timespec start;
		double took;

		clock_gettime(CLOCK_MONOTONIC, &start);
		look = look_at();
		took = ms_since(&start);
		CHECK(look->nr_threads == THREADS);
		CHECK(look->nr_mappings >= MAPPINGS);
		least = took < least ? took : least;
	}
	printf("%d mappings and %d threads: %.1f ms\n", MAPPINGS, THREADS, least);
	CHECK(least <= LIMIT_MS);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	look_end();
	return failures ? 1 : 0;
}
