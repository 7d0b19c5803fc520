// SPDX-License-Identifier: MIT
/*
 * cuda-checkpoint: the command line of NVIDIA's program of this name, for CRIU's own
 * plugin and for scripts. One call of the driver, or two for a toggle, in one thread.
 */
#include <stdio.h>

#include "common/driver/driver.h"
#include "common/settings/settings.h"
#include "cuda-checkpoint/explain.h"
#include "cuda-checkpoint/options.h"

/* For wrong use and a missing driver: no CUDA error has this low byte. */
#define EXIT_UNUSABLE 255

static struct ccr_driver driver;

static const char *const state_names[] = {
	"running", "locked",	    "checkpointed",
	"failed",  "checkpointing", "restoring", /* known to newer drivers */
};
#define NR_STATES (sizeof(state_names) / sizeof(state_names[0]))

static int exit_code(CUresult result)
{
	const int low = (int)result & 0xff;

	if (result == CUDA_SUCCESS)
		return 0;
	return low ? low : EXIT_UNUSABLE;
}

/* Reports a failed call. */
static CUresult done(const char *verb, int pid, CUresult result)
{
	if (result != CUDA_SUCCESS)
		fprintf(stderr, "cuda-checkpoint: cannot %s process %d: %s (%d): %s\n", verb, pid,
			ccr_cuda_error_name(result), (int)result, explain(pid, result));
	return result;
}

static CUresult print_state(int pid)
{
	CUprocessState state = CU_PROCESS_STATE_RUNNING;
	const CUresult result = driver.cuCheckpointProcessGetState(pid, &state);

	if (result != CUDA_SUCCESS)
		return done("get the state of", pid, result);
	if (state < NR_STATES)
		puts(state_names[state]);
	else
		printf("unknown state %u\n", (unsigned int)state);
	return result;
}

static CUresult print_restore_tid(int pid)
{
	int tid = 0;
	const CUresult result = driver.cuCheckpointProcessGetRestoreThreadId(pid, &tid);

	if (result == CUDA_SUCCESS)
		printf("%d\n", tid);
	return done("get the restore thread of", pid, result);
}

static CUresult lock(const struct options *o)
{
	CUcheckpointLockArgs args = {.timeoutMs = o->timeout_ms};

	return done("lock", o->pid, driver.cuCheckpointProcessLock(o->pid, &args));
}

static CUresult checkpoint(const struct options *o)
{
	return done("checkpoint", o->pid, driver.cuCheckpointProcessCheckpoint(o->pid, NULL));
}

static CUresult restore(const struct options *o)
{
	/* a device pair of the map has the layout of CUDA's */
	_Static_assert(sizeof(o->map.pairs[0]) == sizeof(CUcheckpointGpuPair), "two UUIDs");
	CUcheckpointRestoreArgs args = {
		.gpuPairs = (CUcheckpointGpuPair *)o->map.pairs,
		.gpuPairsCount = o->map.count,
	};

	return done("restore", o->pid,
		    driver.cuCheckpointProcessRestore(o->pid, o->map.count ? &args : NULL));
}

static CUresult unlock(const struct options *o)
{
	return done("unlock", o->pid, driver.cuCheckpointProcessUnlock(o->pid, NULL));
}

/* Suspends a running process; one that cannot be checkpointed is unlocked again. */
static CUresult suspend(const struct options *o)
{
	CUresult result = lock(o);

	if (result != CUDA_SUCCESS)
		return result;
	result = checkpoint(o);
	if (result != CUDA_SUCCESS && unlock(o) == CUDA_SUCCESS)
		fprintf(stderr, "cuda-checkpoint: process %d is unlocked again\n", o->pid);
	return result;
}

static CUresult resume(const struct options *o)
{
	const CUresult result = restore(o);

	return result == CUDA_SUCCESS ? unlock(o) : result;
}

static CUresult toggle(const struct options *o)
{
	CUprocessState state = CU_PROCESS_STATE_RUNNING;
	const CUresult result = driver.cuCheckpointProcessGetState(o->pid, &state);

	if (result != CUDA_SUCCESS)
		return done("toggle", o->pid, result);
	if (state == CU_PROCESS_STATE_RUNNING)
		return suspend(o);
	if (state == CU_PROCESS_STATE_CHECKPOINTED)
		return resume(o);
	fprintf(stderr,
		"cuda-checkpoint: cannot toggle process %d: it is %s; accepted: running, "
		"checkpointed (--action unlock unlocks a locked one)\n",
		o->pid, state < NR_STATES ? state_names[state] : "in an unknown state");
	return CUDA_ERROR_ILLEGAL_STATE;
}

static CUresult run(const struct options *o)
{
	switch (o->operation) {
	case OPERATION_STATE:
		return print_state(o->pid);
	case OPERATION_RESTORE_TID:
		return print_restore_tid(o->pid);
	case OPERATION_LOCK:
		return lock(o);
	case OPERATION_CHECKPOINT:
		return checkpoint(o);
	case OPERATION_RESTORE:
		return restore(o);
	case OPERATION_UNLOCK:
		return unlock(o);
	default:
		return toggle(o);
	}
}

int main(int argc, char **argv)
{
	struct ccr_settings settings;
	struct options options;
	char error[512];
	CUresult result;

	if (options_parse(&options, argc, argv))
		return EXIT_UNUSABLE;
	if (options.operation == OPERATION_HELP) {
		options_print_help();
		return 0;
	}
	if (ccr_settings_load(&settings, NULL, error, sizeof(error)) ||
	    ccr_driver_open(&driver, settings.driver, error, sizeof(error))) {
		fprintf(stderr, "cuda-checkpoint: %s\n", error);
		return EXIT_UNUSABLE;
	}
	result = run(&options);
	if (fflush(stdout)) {
		perror("cuda-checkpoint: cannot write the answer");
		return EXIT_UNUSABLE;
	}
	return exit_code(result);
}
