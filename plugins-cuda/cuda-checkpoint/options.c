// SPDX-License-Identifier: MIT
#include "cuda-checkpoint/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* criu-cuda recognizes its own program by the first line. */
static const char help[] =
	"cuda-checkpoint of criu-cuda-toolkit " CCR_VERSION "\n"
	"\n"
	"Locks, checkpoints and restores the CUDA state of a process, through the driver.\n"
	"\n"
	"Operations, one at a time:\n"
	"  --get-state --pid PID        prints running, locked, checkpointed or failed\n"
	"  --get-restore-tid --pid PID  prints the id of the thread that restores the process\n"
	"  --action ACTION --pid PID    ACTION is lock, checkpoint, restore or unlock\n"
	"  --toggle --pid PID           lock and checkpoint a running process,\n"
	"                               restore and unlock a checkpointed one\n"
	"  -h, --help                   prints this text\n"
	"\n"
	"Options:\n"
	"  -p, --pid PID                the process, as this PID namespace numbers it\n"
	"  -t, --timeout MS             how long a lock waits for the GPU's work, milliseconds;\n"
	"                               0, the default: until the work ends\n"
	"  -d, --device-map OLD=NEW,..  UUIDs: on which GPU a restore puts the memory of which;\n"
	"                               must name every GPU of the process\n"
	"\n"
	"Exit code: 0; the low byte of CUDA's error number when the driver refuses; 255 for\n"
	"wrong use or a missing driver. CRIU_CUDA_DRIVER names the libcuda to use.\n";

static int complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("cuda-checkpoint: ", stderr);
	vfprintf(stderr, format, args);
	fputs("\n", stderr);
	va_end(args);
	return -EINVAL;
}

/* Parses a whole number from `least` to `most`. */
static bool parse_number(const char *text, unsigned long least, unsigned long most,
			 unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *number >= least &&
	       *number <= most;
}

static enum operation action_of(const char *name)
{
	static const char *const names[] = {"lock", "checkpoint", "restore", "unlock"};

	for (int i = 0; i < 4; i++)
		if (!strcmp(name, names[i]))
			return OPERATION_LOCK + i;
	return OPERATION_NONE;
}

static int set_operation(struct options *o, enum operation operation)
{
	if (o->operation != OPERATION_NONE)
		return complain("more than one operation; see --help");
	o->operation = operation;
	return 0;
}

static int set_action(struct options *o, const char *name)
{
	const enum operation action = action_of(name);

	if (action == OPERATION_NONE)
		return complain("--action \"%s\"; accepted: lock, checkpoint, restore, unlock",
				name);
	return set_operation(o, action);
}

static int set_pid(struct options *o, const char *text)
{
	unsigned long pid;

	if (!parse_number(text, 1, INT_MAX, &pid))
		return complain("--pid \"%s\" is not a process ID", text);
	o->pid = (int)pid;
	return 0;
}

static int set_timeout(struct options *o, const char *text)
{
	unsigned long timeout;

	if (!parse_number(text, 0, UINT_MAX, &timeout))
		return complain("--timeout \"%s\"; accepted: milliseconds, 0 to %u", text,
				UINT_MAX);
	o->timeout_ms = (unsigned int)timeout;
	o->has_timeout = true;
	return 0;
}

static int set_map(struct options *o, const char *text)
{
	char error[256];

	if (ccr_device_map_parse(&o->map, "--device-map", text, error, sizeof(error)))
		return complain("%s", error);
	return o->map.count ? 0 : complain("--device-map is empty");
}

static int take(struct options *o, int option, const char *value)
{
	switch (option) {
	case 'h':
		return set_operation(o, OPERATION_HELP);
	case 's':
		return set_operation(o, OPERATION_STATE);
	case 'r':
		return set_operation(o, OPERATION_RESTORE_TID);
	case 'g':
		return set_operation(o, OPERATION_TOGGLE);
	case 'a':
		return set_action(o, value);
	case 'p':
		return set_pid(o, value);
	case 't':
		return set_timeout(o, value);
	case 'd':
		return set_map(o, value);
	case 'j':
		return complain("--launch-job is not supported: start the program with NVIDIA's "
				"cuda-checkpoint (driver 590 or newer); a program without CUDA IPC "
				"needs no job");
	}
	return complain("see --help"); /* getopt has named the option */
}

/* What belongs together. */
static int check(const struct options *o)
{
	const enum operation op = o->operation;

	if (op == OPERATION_HELP)
		return 0;
	if (op == OPERATION_NONE)
		return complain("no operation: --get-state, --get-restore-tid, --action or "
				"--toggle; see --help");
	if (!o->pid)
		return complain("--pid PID is missing");
	if (o->has_timeout && op != OPERATION_LOCK && op != OPERATION_TOGGLE)
		return complain("--timeout is for --action lock and --toggle");
	if (o->map.count && op != OPERATION_RESTORE && op != OPERATION_TOGGLE)
		return complain("--device-map is for --action restore and --toggle");
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"get-state", no_argument, NULL, 's'},
		{"get-restore-tid", no_argument, NULL, 'r'},
		{"action", required_argument, NULL, 'a'},
		{"toggle", no_argument, NULL, 'g'},
		{"pid", required_argument, NULL, 'p'},
		{"timeout", required_argument, NULL, 't'},
		{"device-map", required_argument, NULL, 'd'},
		{"launch-job", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	memset(o, 0, sizeof(*o));
	while ((option = getopt_long(argc, argv, "p:t:d:jh", longs, NULL)) != -1) {
		const int ret = take(o, option, optarg);

		if (ret)
			return ret;
	}
	if (optind < argc)
		return complain("\"%s\" is one argument too many; see --help", argv[optind]);
	return check(o);
}

void options_print_help(void)
{
	fputs(help, stdout);
}
