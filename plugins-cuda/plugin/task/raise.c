// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/task/raise.h"

#include <string.h>

#include "plugin/task/task.h"

#define POLL_MS 5

/* Restores to the devices of the map; without a map, the driver chooses those from the dump. */
static CUresult restore(pid_t pid, int *unused)
{
	const struct ccr_device_map *map = &ccr__plugin.device_map;
	CUcheckpointGpuPair pairs[CCR_MAX_DEVICES];
	CUcheckpointRestoreArgs args = {.gpuPairs = pairs, .gpuPairsCount = map->count};

	for (uint32_t i = 0; i < map->count; i++) {
		memcpy(pairs[i].oldUuid.bytes, map->pairs[i].from, sizeof(pairs[i].oldUuid.bytes));
		memcpy(pairs[i].newUuid.bytes, map->pairs[i].to, sizeof(pairs[i].newUuid.bytes));
	}
	return ccr__plugin.driver.cuCheckpointProcessRestore(pid, map->count ? &args : NULL);
}

static void end(struct raise *raise, CUresult result)
{
	raise->result = result;
	raise->is_done = true;
}

static void begin(struct raise *raise, const char *step, const char *name,
		  CUresult (*function)(pid_t pid, int *answer))
{
	raise->step = step;
	raise->name = name;
	raise->start = ccr__now_ms();
	raise->call.function = function;
	if (ccr__driver_call_begin(&raise->call))
		end(raise, CUDA_ERROR_OPERATING_SYSTEM);
}

/* Begins what is to be done in this state. */
static void proceed(struct raise *raise, CUprocessState state)
{
	const CUprocessState target = raise->target;

	if (state == CU_PROCESS_STATE_CHECKPOINTED && target != CU_PROCESS_STATE_CHECKPOINTED) {
		begin(raise, "restore", "cuCheckpointProcessRestore", restore);
	} else if (state == CU_PROCESS_STATE_LOCKED && target == CU_PROCESS_STATE_RUNNING) {
		begin(raise, "unlock", "cuCheckpointProcessUnlock", ccr__driver_unlock);
	} else if (state == target) {
		end(raise, CUDA_SUCCESS);
	} else {
		ccr_err("state of %d is %s, expected %s", raise->task->pid, ccr__state_name(state),
			ccr__state_name(target));
		end(raise, CUDA_ERROR_ILLEGAL_STATE);
	}
}

/* Takes the answer of the call in progress. */
static void take(struct raise *raise)
{
	CUresult result;

	ccr__driver_call_end(&raise->call);
	result = raise->call.result;
	if (raise->step)
		ccr__task_note(raise->task, raise->step, result, ccr__now_ms() - raise->start);
	else if (result != CUDA_SUCCESS)
		ccr_err("cannot get the state of %d: %s", raise->task->pid,
			ccr_cuda_error_name(result));
	if (result != CUDA_SUCCESS)
		end(raise, result);
	else if (!raise->step)
		proceed(raise, raise->call.answer);
	else
		proceed(raise, !strcmp(raise->step, "restore") ? CU_PROCESS_STATE_LOCKED
							       : CU_PROCESS_STATE_RUNNING);
}

void ccr__raise_begin(struct raise *raise, const struct task *task, CUprocessState target,
		      struct driver_worker *worker)
{
	*raise = (struct raise){
		.task = task,
		.target = target,
		.call = {.pid = task->pid, .worker = worker},
	};
	begin(raise, NULL, "cuCheckpointProcessGetState", ccr__driver_get_state);
}

bool ccr__raise_is_done(struct raise *raise, int timeout_ms)
{
	if (!raise->is_done && ccr__driver_call_is_done(&raise->call, timeout_ms))
		take(raise);
	return raise->is_done;
}

CUresult ccr__task_raise(const struct task *task, CUprocessState target, const char **failed)
{
	struct raise raise;

	ccr__raise_begin(&raise, task, target, NULL);
	while (!ccr__raise_is_done(&raise, POLL_MS))
		;
	*failed = raise.name;
	return raise.result;
}
