// SPDX-License-Identifier: MIT
#include "workloads/state/state.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: workload-state --socket PATH --dir DIR [--seed N] [--regions N] [--children N]\n"
	"                      [--threads N] [--descriptors N] [--alloc KIB]... [--pinned KIB]\n"
	"                      [--cuda] [--child-cuda] [--uid N] [--as MIB] [--nofile N] [--stack "
	"KIB]\n"
	"                      [--large MIB]\n";

__attribute__((noreturn)) static void refuse(const char *what, const char *value)
{
	fprintf(stderr, "workload-state: invalid %s: %s\n%s", what, value, usage);
	exit(2);
}

static uint64_t number(const char *name, const char *text, uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value > max)
		refuse(name, text);
	return value;
}

static void add_alloc(struct options *o, const char *text)
{
	if (o->nr_allocs == MAX_ALLOC_OPTIONS)
		refuse("number of allocations", text);
	o->allocs[o->nr_allocs].bytes = number("--alloc", text, 1 << 20) << 10;
	o->allocs[o->nr_allocs++].count = 1;
}

void state_options_parse(struct state_options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"socket", 1, NULL, 'S'},
		{"dir", 1, NULL, 'D'},
		{"seed", 1, NULL, 's'},
		{"regions", 1, NULL, 'r'},
		{"children", 1, NULL, 'c'},
		{"threads", 1, NULL, 't'},
		{"descriptors", 1, NULL, 'd'},
		{"alloc", 1, NULL, 'a'},
		{"pinned", 1, NULL, 'p'},
		{"cuda", 0, NULL, 'C'},
		{"child-cuda", 0, NULL, 'K'},
		{"uid", 1, NULL, 'u'},
		{"as", 1, NULL, 'A'},
		{"nofile", 1, NULL, 'n'},
		{"stack", 1, NULL, 'k'},
		{"large", 1, NULL, 'l'},
		{NULL, 0, NULL, 0},
	};
	int c;

	memset(o, 0, sizeof(*o));
	o->seed = 1;
	o->device.streams = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'S':
			o->socket_path = optarg;
			break;
		case 'D':
			o->dir = optarg;
			break;
		case 's':
			o->seed = number("--seed", optarg, UINT64_MAX);
			break;
		case 'r':
			o->regions = number("--regions", optarg, 64);
			break;
		case 'c':
			o->children = number("--children", optarg, STATE_MAX_CHILDREN);
			break;
		case 't':
			o->threads = number("--threads", optarg, 64);
			break;
		case 'd':
			o->descriptors = number("--descriptors", optarg, 64);
			break;
		case 'a':
			add_alloc(&o->device, optarg);
			break;
		case 'p':
			o->device.pinned_bytes = number("--pinned", optarg, 1 << 20) << 10;
			break;
		case 'C':
			o->cuda = true;
			break;
		case 'K':
			o->child_cuda = true;
			break;
		case 'u':
			o->uid = number("--uid", optarg, 65535);
			break;
		case 'A':
			o->as_mib = number("--as", optarg, 1 << 20);
			break;
		case 'n':
			o->nofile = number("--nofile", optarg, 1 << 20);
			break;
		case 'k':
			o->stack_kib = number("--stack", optarg, 1 << 20);
			break;
		case 'l':
			o->large_mib = number("--large", optarg, 1 << 20);
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc)
		refuse("argument", argv[optind]);
	if (!o->socket_path || !o->dir)
		refuse("call", "--socket and --dir are needed");
	o->device.seed = o->seed;
}
