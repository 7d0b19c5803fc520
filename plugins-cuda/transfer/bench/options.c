// SPDX-License-Identifier: MIT
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transfer/bench/bench.h"

static void usage(void)
{
	fprintf(stderr,
		"usage: ccr-transfer-bench --dir DIR [options]\n"
		"  --size 16G          device memory in total          --allocations 32\n"
		"  --iterations 3      evict, clear, load, compare     --devices 1\n"
		"  --streams 8         transfer threads                --chunk-mb 8\n"
		"  --io auto           auto, pread, direct, mmap       --no-verify\n"
		"  --read-piece-kb 0   0: chosen by back-end           --write-piece-kb 0\n"
		"  --zero-percent 0    of the content                  --vmm   cuMemCreate memory\n"
		"  --sparse 0          N: each Nth piece of zeroes has one byte that is not zero\n"
		"  --scan auto         whether the device finds zeroes: auto, on, off\n"
		"  --sync              fsync the image                 --spin  poll the device\n"
		"  --cold              drop the image from the page cache before the load\n"
		"  --raw               also read the stripes without a device (O_DIRECT)\n"
		"  --link              also measure the link to the device, and page faults\n"
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

static const char *const io_words[] = {"auto", "pread", "direct", "mmap", NULL};
static const char *const scan_words[] = {"auto", "on", "off", NULL};

/* The position of the word, which is its number in settings.h. */
static uint32_t word_number(const char *const *words, const char *word)
{
	for (uint32_t i = 0; words[i]; i++)
		if (!strcmp(word, words[i]))
			return i;
	usage();
	return 0;
}

/* An option sets a number of 32 or 64 bits (times a unit), a flag, or text. */
struct option_row {
	const char *name;
	enum { NUMBER32, NUMBER64, FLAG, FLAG_OFF, TEXT, IO, SCAN } kind;
	size_t offset;
	uint64_t lowest, highest;
	int shift;
};

#define ROW(option, type, field, ...)                                                          \
	{                                                                                      \
		.name = option, .kind = type, .offset = offsetof(struct bench_options, field), \
		__VA_ARGS__                                                                    \
	}
#define RANGE(low, high, bits) .lowest = low, .highest = high, .shift = bits

static const struct option_row rows[] = {
	ROW("dir", TEXT, dir),
	ROW("driver", TEXT, driver),
	ROW("size", NUMBER64, size, RANGE(2 << 20, 1ull << 44, 0)),
	ROW("allocations", NUMBER32, allocations, RANGE(1, 1 << 20, 0)),
	ROW("iterations", NUMBER32, iterations, RANGE(1, 1000, 0)),
	ROW("devices", NUMBER32, devices, RANGE(1, CUDA_PARALLEL_MAX_DEVICES, 0)),
	ROW("streams", NUMBER32, config.streams, RANGE(1, CUDA_PARALLEL_MAX_THREADS, 0)),
	ROW("chunk-mb", NUMBER64, config.chunk_bytes, RANGE(1, 512, 20)),
	ROW("read-piece-kb", NUMBER32, config.read_piece, RANGE(0, 1 << 19, 10)),
	ROW("write-piece-kb", NUMBER32, config.write_piece, RANGE(0, 1 << 19, 10)),
	ROW("zero-percent", NUMBER32, zero_percent, RANGE(0, 100, 0)),
	ROW("io", IO, config.io),
	ROW("scan", SCAN, config.scan),
	ROW("sparse", NUMBER32, sparse, RANGE(0, 1 << 20, 0)),
	ROW("no-verify", FLAG_OFF, config.verify),
	ROW("spin", FLAG, config.spin),
	ROW("vmm", FLAG, vmm),
	ROW("sync", FLAG, sync),
	ROW("cold", FLAG, cold),
	ROW("raw", FLAG, raw),
	ROW("link", FLAG, link),
	ROW("keep", FLAG, keep),
	ROW("json", FLAG, json),
};
#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

static void set(struct bench_options *options, const struct option_row *row, const char *text)
{
	void *field = (char *)options + row->offset;

	switch (row->kind) {
	case NUMBER32:
		*(uint32_t *)field = number(text, row->lowest, row->highest) << row->shift;
		break;
	case NUMBER64:
		*(uint64_t *)field = number(text, row->lowest, row->highest) << row->shift;
		break;
	case FLAG:
	case FLAG_OFF:
		*(uint32_t *)field = row->kind == FLAG;
		break;
	case TEXT:
		*(const char **)field = text;
		break;
	case IO:
		*(uint32_t *)field = word_number(io_words, text);
		break;
	case SCAN:
		*(uint32_t *)field = word_number(scan_words, text);
		break;
	}
}

void bench_parse_options(struct bench_options *options, int argc, char **argv)
{
	struct option list[NR_ROWS + 1] = {0};
	int index;

	*options = (struct bench_options){
		.size = 16ull << 30,
		.allocations = 32,
		.devices = 1,
		.iterations = 3,
		.driver = getenv("CRIU_CUDA_DRIVER"),
		.config = {.streams = 8, .chunk_bytes = 8 << 20, .verify = 1},
	};
	for (size_t i = 0; i < NR_ROWS; i++) {
		const bool is_flag = rows[i].kind == FLAG || rows[i].kind == FLAG_OFF;

		list[i].name = rows[i].name;
		list[i].has_arg = is_flag ? no_argument : required_argument;
	}
	for (;;) {
		const int option = getopt_long(argc, argv, "", list, &index);

		if (option == -1)
			break;
		if (option)
			usage();
		set(options, &rows[index], optarg);
	}
	if (!options->dir || optind != argc)
		usage();
}
