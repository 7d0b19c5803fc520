// SPDX-License-Identifier: MIT
/*
 * workload-state: a process tree with as many kinds of state as CRIU can dump,
 * made from a seed. On request every process checks its state and reports it
 * as words NAME=VALUE, which are the same before a dump and after a restore.
 */
#ifndef CCR_WORKLOAD_STATE_H
#define CCR_WORKLOAD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workloads/workloads.h"

#define STATE_MAX_CHILDREN 4
#define STATE_REPLY_MAX	   (32 * 1024)
#define STATE_PAGE	   4096u

struct state_options {
	uint64_t seed;
	const char *socket_path, *dir; /* dir: for its files */
	int regions, children, threads, descriptors;
	bool cuda, child_cuda;
	int uid;			    /* 0: stays root */
	uint64_t as_mib, nofile, stack_kib; /* 0: not limited; as_mib is added to what is in use */
	uint64_t large_mib;		    /* of private memory in one mapping more; 0: none */
	struct options device;
};

/* What one process reports. Words are separated by spaces. */
struct report {
	char text[STATE_REPLY_MAX];
	size_t used;
};

__attribute__((format(printf, 2, 3))) void report_add(struct report *r, const char *format, ...);

/* A generator of numbers: each seed has its own sequence. Returns a number below `below`. */
uint64_t state_random(uint64_t *seed, uint64_t below);

/* options.c; on a usage error, prints a message and exits with 2. */
void state_options_parse(struct state_options *out, int argc, char **argv);

/*
 * memory.c: mappings of every kind. regions_make is called before the forks and
 * regions_start in process `role` after them (0: the root, n: its nth child).
 * Both return 0, or -1 with errno.
 */
int regions_make(const struct state_options *o);
int regions_start(int role);
/* Compares every word with what was written, and discards a page of each region that allows it. */
void regions_report(struct report *r);
/* A word in memory that the whole tree shares, for the test of sharing. */
uint64_t *regions_shared_word(void);

/* descriptors.c: pipes, sockets, files, counters, timers. Returns 0, or -1 with errno. */
int descriptors_make(uint64_t seed, int count, const char *dir, int role);
void descriptors_report(struct report *r);

/* activity.c: threads that count, a real-time signal and a timer that sends it. Returns 0, or -1.
 */
int activity_start(uint64_t seed, int threads);
void activity_report(struct report *r);

/* family.c: children, forked before cuInit. Returns 0, or -1 with errno. */
int family_start(const struct state_options *o);
/* Adds what the children report, with their number in front of each name. */
void family_report(struct report *r);

/* main.c: everything that one process reports about itself. */
void state_report(struct report *r);
/* Starts what each process has of its own. Returns 0, or -1 after a message. */
int state_start(const struct state_options *o, int role);

#endif
