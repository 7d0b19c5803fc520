// SPDX-License-Identifier: MIT
#include "workloads/workloads.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: workload-pattern [--alloc SIZE[xCOUNT]]... [--vmm] [--device N] [--seed N] [--host "
	"SIZE]\n"
	"                        [--pinned SIZE] [--threads N] [--streams N] [--children N]\n"
	"                        [--no-cuda-parent] [--continuous] [--heartbeat] [--churn N]\n"
	"                        [--kinds] [--seccomp] [--socket PATH] [--http PORT]\n"
	"SIZE takes K, M or G (powers of 1024).\n";

__attribute__((noreturn)) static void wrong(const char *option, const char *value)
{
	fprintf(stderr, "workload-pattern: invalid value for --%s: %s\n%s", option, value, usage);
	exit(2);
}

static uint64_t number(const char *option, const char *text, uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value > max)
		wrong(option, text);
	return value;
}

/* Parses a number of bytes, a multiple of 8. `*end` is the text after it. */
static uint64_t size(const char *option, const char *text, char **end)
{
	unsigned long long value;
	int shift = 0;

	errno = 0;
	value = strtoull(text, end, 10);
	switch (**end) {
	case 'G':
		shift = 30;
		break;
	case 'M':
		shift = 20;
		break;
	case 'K':
		shift = 10;
		break;
	}
	if (shift)
		(*end)++;
	if (errno || *end == text || *text == '-' || !value || value > 1ull << 44 >> shift)
		wrong(option, text);
	value <<= shift;
	if (value % 8)
		wrong(option, text);
	return value;
}

static uint64_t whole_size(const char *option, const char *text)
{
	char *end;
	const uint64_t value = size(option, text, &end);

	if (*end)
		wrong(option, text);
	return value;
}

static void add_alloc(struct options *o, const char *text)
{
	struct alloc_option *a = &o->allocs[o->nr_allocs];
	char *end;

	if (o->nr_allocs++ == MAX_ALLOC_OPTIONS)
		wrong("alloc", text);
	a->bytes = size("alloc", text, &end);
	a->count = 1;
	if (*end == 'x')
		a->count = number("alloc", end + 1, 1000000);
	else if (*end)
		wrong("alloc", text);
}

void options_parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"alloc", 1, NULL, 'a'},      {"vmm", 0, NULL, 'v'},
		{"device", 1, NULL, 'd'},     {"seed", 1, NULL, 's'},
		{"host", 1, NULL, 'h'},	      {"pinned", 1, NULL, 'p'},
		{"threads", 1, NULL, 't'},    {"streams", 1, NULL, 'm'},
		{"children", 1, NULL, 'c'},   {"no-cuda-parent", 0, NULL, 'n'},
		{"continuous", 0, NULL, 'C'}, {"socket", 1, NULL, 'S'},
		{"heartbeat", 0, NULL, 'H'},  {"http", 1, NULL, 'P'},
		{"churn", 1, NULL, 'u'},      {"kinds", 0, NULL, 'k'},
		{"seccomp", 0, NULL, 'x'},    {NULL, 0, NULL, 0},
	};
	int c;

	memset(o, 0, sizeof(*o));
	o->seed = 1;
	o->streams = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'a':
			add_alloc(o, optarg);
			break;
		case 'v':
			o->vmm = true;
			break;
		case 'd':
			o->device = number("device", optarg, 63);
			break;
		case 's':
			o->seed = number("seed", optarg, UINT64_MAX);
			break;
		case 'h':
			o->host_bytes = whole_size("host", optarg);
			break;
		case 'p':
			o->pinned_bytes = whole_size("pinned", optarg);
			break;
		case 't':
			o->threads = number("threads", optarg, 64);
			break;
		case 'u':
			o->churn = number("churn", optarg, 64);
			break;
		case 'm':
			o->streams = number("streams", optarg, MAX_STREAMS);
			break;
		case 'c':
			o->children = number("children", optarg, MAX_CHILDREN);
			break;
		case 'n':
			o->no_cuda_parent = true;
			break;
		case 'C':
			o->continuous = true;
			break;
		case 'H':
			o->heartbeat = true;
			break;
		case 'k':
			o->kinds = true;
			break;
		case 'x':
			o->seccomp = true;
			break;
		case 'S':
			o->socket_path = optarg;
			break;
		case 'P':
			o->http_port = number("http", optarg, 65535);
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc || o->streams < 1) {
		fputs(usage, stderr);
		exit(2);
	}
}
