// SPDX-License-Identifier: MIT
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transfer/bench.h"

static void usage(void)
{
	fprintf(stderr,
		"usage: ccr-transfer-bench --dir DIR [options]\n"
		"  --size 16G          device memory in all            --allocations 32\n"
		"  --iterations 3      evict, clear, load, compare     --devices 1\n"
		"  --streams 8         transfer threads                --chunk-mb 8\n"
		"  --io auto           auto, pread, direct, mmap       --no-verify\n"
		"  --read-piece-kb 0   0: what suits the back-end      --write-piece-kb 0\n"
		"  --zero-percent 0    of the content                  --vmm   cuMemCreate memory\n"
		"  --sync              fsync the image                 --spin  poll the device\n"
		"  --cold              drop the image from the page cache before the load\n"
		"  --raw               also read the stripes without a device, O_DIRECT\n"
		"  --keep              leave the image in DIR          --json\n"
		"  --driver FILE       libcuda.so.1 to use (CRIU_CUDA_DRIVER)\n");
	exit(2);
}

static uint64_t number(const char *text, uint64_t lowest, uint64_t highest)
{
	static const char units[] = "KMGT";
	char *end;
	uint64_t value;
	const char *unit;

	errno = 0;
	value = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit && !end[1])
		value <<= 10 * (unit - units + 1);
	if (errno || end == text || (*end && (!unit || end[1])) || value < lowest ||
	    value > highest) {
		fprintf(stderr, "\"%s\" is not a number from %llu to %llu\n", text,
			(unsigned long long)lowest, (unsigned long long)highest);
		exit(2);
	}
	return value;
}

static uint32_t io_number(const char *word)
{
	static const char *const words[] = {"auto", "pread", "direct", "mmap"};

	for (uint32_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(word, words[i]))
			return i;
	usage();
	return 0;
}

void bench_parse_options(struct bench_options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir", 1, NULL, 'd'},
		{"size", 1, NULL, 's'},
		{"allocations", 1, NULL, 'a'},
		{"iterations", 1, NULL, 'n'},
		{"devices", 1, NULL, 'D'},
		{"streams", 1, NULL, 't'},
		{"chunk-mb", 1, NULL, 'c'},
		{"io", 1, NULL, 'i'},
		{"no-verify", 0, NULL, 'V'},
		{"read-piece-kb", 1, NULL, 'r'},
		{"write-piece-kb", 1, NULL, 'w'},
		{"zero-percent", 1, NULL, 'z'},
		{"vmm", 0, NULL, 'v'},
		{"sync", 0, NULL, 'S'},
		{"spin", 0, NULL, 'p'},
		{"cold", 0, NULL, 'C'},
		{"raw", 0, NULL, 'R'},
		{"keep", 0, NULL, 'k'},
		{"json", 0, NULL, 'j'},
		{"driver", 1, NULL, 'L'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*o = (struct bench_options){.size = 16ull << 30,
				    .allocations = 32,
				    .devices = 1,
				    .iterations = 3,
				    .driver = getenv("CRIU_CUDA_DRIVER")};
	o->config =
		(struct cuda_parallel_config){.streams = 8, .chunk_bytes = 8 << 20, .verify = 1};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'd':
			o->dir = optarg;
			break;
		case 's':
			o->size = number(optarg, 2 << 20, 1ull << 44);
			break;
		case 'a':
			o->allocations = number(optarg, 1, 1 << 20);
			break;
		case 'n':
			o->iterations = number(optarg, 1, 1000);
			break;
		case 'D':
			o->devices = number(optarg, 1, CUDA_PARALLEL_MAX_DEVICES);
			break;
		case 't':
			o->config.streams = number(optarg, 1, CUDA_PARALLEL_MAX_THREADS);
			break;
		case 'c':
			o->config.chunk_bytes = number(optarg, 1, 512) << 20;
			break;
		case 'i':
			o->config.io = io_number(optarg);
			break;
		case 'V':
			o->config.verify = 0;
			break;
		case 'r':
			o->config.read_piece = number(optarg, 0, 1 << 19) << 10;
			break;
		case 'w':
			o->config.write_piece = number(optarg, 0, 1 << 19) << 10;
			break;
		case 'z':
			o->zero_percent = number(optarg, 0, 100);
			break;
		case 'v':
			o->vmm = true;
			break;
		case 'S':
			o->sync = true;
			break;
		case 'p':
			o->config.spin = 1;
			break;
		case 'C':
			o->cold = true;
			break;
		case 'R':
			o->raw = true;
			break;
		case 'k':
			o->keep = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 'L':
			o->driver = optarg;
			break;
		default:
			usage();
		}
	}
	if (!o->dir || optind != argc)
		usage();
}
