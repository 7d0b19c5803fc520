// SPDX-License-Identifier: MIT
/*
 * cuda-checkpoint for tests: has the options of NVIDIA's program that CRIU's
 * own plugin uses, and calls the driver that CRIU_CUDA_DRIVER names. With it,
 * the upstream plugin runs on the software driver.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/driver/driver.h"

static struct ccr_driver driver;

static const char usage[] = "cuda-checkpoint (test stand-in)\n"
			    "  --get-state --pid N | --get-restore-tid --pid N\n"
			    "  --action lock|checkpoint|restore|unlock --pid N [--timeout MS]\n";

static int done(const char *what, CUresult result)
{
	if (result == CUDA_SUCCESS)
		return 0;
	fprintf(stderr, "%s: %s\n", what, ccr_cuda_error_name(result));
	return 1;
}

static int print_state(int pid)
{
	static const char *const names[] = {"running", "locked", "checkpointed", "failed"};
	CUprocessState state = CU_PROCESS_STATE_RUNNING;
	const CUresult result = driver.cuCheckpointProcessGetState(pid, &state);

	if (result == CUDA_SUCCESS)
		puts(names[state]);
	return done("get-state", result);
}

static int print_restore_tid(int pid)
{
	int tid = 0;
	const CUresult result = driver.cuCheckpointProcessGetRestoreThreadId(pid, &tid);

	if (result == CUDA_SUCCESS)
		printf("%d\n", tid);
	return done("get-restore-tid", result);
}

static int act(const char *action, int pid, unsigned int timeout_ms)
{
	CUcheckpointLockArgs args = {.timeoutMs = timeout_ms};

	if (!strcmp(action, "lock"))
		return done(action, driver.cuCheckpointProcessLock(pid, &args));
	if (!strcmp(action, "checkpoint"))
		return done(action, driver.cuCheckpointProcessCheckpoint(pid, NULL));
	if (!strcmp(action, "restore"))
		return done(action, driver.cuCheckpointProcessRestore(pid, NULL));
	if (!strcmp(action, "unlock"))
		return done(action, driver.cuCheckpointProcessUnlock(pid, NULL));
	fprintf(stderr, "%s", usage);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"action", 1, NULL, 'a'},
		{"pid", 1, NULL, 'p'},
		{"timeout", 1, NULL, 't'},
		{"get-state", 0, NULL, 's'},
		{"get-restore-tid", 0, NULL, 'r'},
		{"help", 0, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *action = NULL, *path = getenv("CRIU_CUDA_DRIVER");
	int c, pid = 0, query = 0;
	unsigned int timeout_ms = 0;
	char error[512];

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			printf("%s", usage);
			return 0;
		}
		if (c == 'a')
			action = optarg;
		else if (c == 'p')
			pid = strtol(optarg, NULL, 10);
		else if (c == 't')
			timeout_ms = strtoul(optarg, NULL, 10);
		else if (c == 's' || c == 'r')
			query = c;
		else
			return 2;
	}
	if (ccr_driver_open(&driver, path ? path : "", error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	if (query)
		return query == 's' ? print_state(pid) : print_restore_tid(pid);
	return action ? act(action, pid, timeout_ms) : 2;
}
