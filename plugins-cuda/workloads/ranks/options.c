// SPDX-License-Identifier: MIT
#include "workloads/ranks/ranks.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: workload-ranks [--ranks N] [--devices N] [--share vmm|ipc|host] [--tcp] [--lead]\n"
	"                      [--depth N] [--words N] [--alloc MIB] [--loaders N] [--socket "
	"PATH]\n";

__attribute__((noreturn)) static void fail(const char *what, const char *value)
{
	fprintf(stderr, "workload-ranks: %s: %s\n%s", what, value, usage);
	exit(2);
}

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < min || value > max)
		fail(option, text);
	return value;
}

static void set_share(struct ranks_options *out, const char *text)
{
	out->ipc = !strcmp(text, "ipc");
	out->host = !strcmp(text, "host");
	if (!out->ipc && !out->host && strcmp(text, "vmm"))
		fail("--share", text);
}

void ranks_options_parse(struct ranks_options *out, int argc, char **argv)
{
	static const struct option options[] = {
		{"ranks", required_argument, NULL, 'r'},
		{"devices", required_argument, NULL, 'd'},
		{"share", required_argument, NULL, 's'},
		{"tcp", no_argument, NULL, 't'},
		{"loaders", required_argument, NULL, 'L'},
		{"lead", no_argument, NULL, 'l'},
		{"depth", required_argument, NULL, 'p'},
		{"words", required_argument, NULL, 'w'},
		{"alloc", required_argument, NULL, 'a'},
		{"socket", required_argument, NULL, 'S'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*out = (struct ranks_options){.ranks = 2, .devices = 1, .depth = 2, .words = 8192};
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r')
			out->ranks = (int)number("--ranks", optarg, 1, MAX_RANKS);
		else if (c == 'd')
			out->devices = (int)number("--devices", optarg, 1, MAX_RANKS);
		else if (c == 's')
			set_share(out, optarg);
		else if (c == 't')
			out->tcp = true;
		else if (c == 'l')
			out->lead = true;
		else if (c == 'L')
			out->loaders = (int)number("--loaders", optarg, 0, MAX_LOADERS);
		else if (c == 'p')
			out->depth = (int)number("--depth", optarg, 1, 1000);
		else if (c == 'w')
			out->words = number("--words", optarg, 1, UINT32_MAX);
		else if (c == 'a')
			out->alloc_bytes = number("--alloc", optarg, 1, 1 << 20) << 20;
		else if (c == 'S')
			out->socket_path = optarg;
		else
			fail("unknown option", argv[optind - 1]);
	}
	if (optind < argc)
		fail("unexpected argument", argv[optind]);
}
