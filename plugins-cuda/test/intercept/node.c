// SPDX-License-Identifier: MIT
/*
 * Description: where copying threads may run: CPU lists of the kernel, the
 * caller's mask within the device's node, mask and niceness of a thread that
 * adopts them.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "intercept/copy/node.h"
#include "test/intercept/intercept_test.h"

/* Replaces the table of slots.c. These tests use no driver. */
struct ccr__real ccr__real;

static void lists(void)
{
	static const char *const wrong[] = {"",	  "a",	 "-",	   "3-",  "3-1",  ",",
					    "1,", "1;2", "0-9999", "1 2", "1-2-3"};
	cpu_set_t cpus;

	CHECK(ccr__node_parse("0-3,8,10-11\n", &cpus));
	CHECK(CPU_COUNT(&cpus) == 7);
	for (int i = 0; i < 16; i++)
		CHECK(!!CPU_ISSET(i, &cpus) == (i <= 3 || i == 8 || i == 10 || i == 11));
	CHECK(ccr__node_parse("5", &cpus) && CPU_COUNT(&cpus) == 1 && CPU_ISSET(5, &cpus));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CHECK(!ccr__node_parse(wrong[i], &cpus));
		CHECK(!CPU_COUNT(&cpus));
	}
}

static int first_of(const cpu_set_t *cpus)
{
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, cpus))
			return i;
	return -1;
}

static void masks(void)
{
	struct ccr__node node = {.number = -1};
	struct ccr__scheduling scheduling;
	cpu_set_t own;

	CHECK(!sched_getaffinity(0, sizeof(own), &own));
	scheduling = ccr__scheduling_of_caller(&node);
	CHECK(scheduling.has_cpus && CPU_EQUAL(&scheduling.cpus, &own));
	/* CPUs that both the node and the caller have. */
	node.number = 0;
	CPU_ZERO(&node.cpus);
	CPU_SET(first_of(&own), &node.cpus);
	CPU_SET(CPU_SETSIZE - 1, &node.cpus);
	scheduling = ccr__scheduling_of_caller(&node);
	CHECK(CPU_COUNT(&scheduling.cpus) == 1 && CPU_ISSET(first_of(&own), &scheduling.cpus));
	/* No common CPU: the caller's mask has priority. */
	CPU_ZERO(&node.cpus);
	CPU_SET(CPU_SETSIZE - 1, &node.cpus);
	scheduling = ccr__scheduling_of_caller(&node);
	CHECK(CPU_EQUAL(&scheduling.cpus, &own));
}

static void *adopt(void *argument)
{
	const struct ccr__scheduling *wanted = argument;
	struct ccr__scheduling had = {.has_cpus = false};
	cpu_set_t now;

	ccr__scheduling_apply(wanted, &had);
	CHECK(!sched_getaffinity(0, sizeof(now), &now));
	CHECK(CPU_EQUAL(&now, &wanted->cpus));
	CHECK(getpriority(PRIO_PROCESS, 0) == wanted->nice);
	CHECK(had.nice == wanted->nice && CPU_EQUAL(&had.cpus, &wanted->cpus));
	return NULL;
}

static void adopted(void)
{
	const struct ccr__node node = {.number = -1};
	struct ccr__scheduling scheduling = ccr__scheduling_of_caller(&node);
	const struct ccr__scheduling before = scheduling;
	const int only = first_of(&scheduling.cpus);
	pthread_t thread;

	CPU_ZERO(&scheduling.cpus);
	CPU_SET(only, &scheduling.cpus);
	scheduling.nice = before.nice < 19 ? before.nice + 1 : 19;
	CHECK(!pthread_create(&thread, NULL, adopt, &scheduling));
	pthread_join(thread, NULL);
	/* The caller's own mask and niceness have not changed. */
	scheduling = ccr__scheduling_of_caller(&node);
	CHECK(CPU_EQUAL(&scheduling.cpus, &before.cpus) && scheduling.nice == before.nice);
}

/* A missing node or invalid memory must not be an error. */
static void placed(void)
{
	static char page[8192];
	const struct ccr__node nodes[] = {{.number = -1}, {.number = 0}, {.number = 1023}};

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		ccr__node_prefer(&nodes[i], page, sizeof(page));
	page[0] = 1;
	CHECK(page[0] == 1 && page[8191] == 0);
}

int main(void)
{
	lists();
	masks();
	adopted();
	placed();
	return 0;
}
