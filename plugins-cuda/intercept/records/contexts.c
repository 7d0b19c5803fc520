// SPDX-License-Identifier: MIT
#include "intercept/records/contexts.h"

#include <pthread.h>
#include <stdlib.h>

#include "intercept/records/records.h"

static struct {
	pthread_mutex_t lock;
	CUcontext *created;
	size_t nr_created, room;
	CUcontext primary[CCR_MAX_DEVICES];
	/* peer[a][b]: device a may use cuMemAlloc memory of device b. */
	bool peer[CCR_MAX_DEVICES][CCR_MAX_DEVICES];
} contexts = {.lock = PTHREAD_MUTEX_INITIALIZER};

void ccr__contexts_reset(void)
{
	pthread_mutex_init(&contexts.lock, NULL);
}

void ccr__context_note(CUcontext ctx)
{
	pthread_mutex_lock(&contexts.lock);
	if (contexts.nr_created == contexts.room) {
		const size_t room = contexts.room ? 2 * contexts.room : 16;
		CUcontext *grown = realloc(contexts.created, room * sizeof(*grown));

		if (grown) {
			contexts.created = grown;
			contexts.room = room;
		}
	}
	if (contexts.nr_created < contexts.room)
		contexts.created[contexts.nr_created++] = ctx;
	else
		/* We could not synchronize this context before memory is moved. */
		atomic_store(&ccr__core.gate_incomplete, true);
	pthread_mutex_unlock(&contexts.lock);
}

void ccr__context_forget(CUcontext ctx)
{
	pthread_mutex_lock(&contexts.lock);
	for (size_t i = 0; i < contexts.nr_created; i++)
		if (contexts.created[i] == ctx) {
			contexts.created[i] = contexts.created[--contexts.nr_created];
			break;
		}
	pthread_mutex_unlock(&contexts.lock);
}

size_t ccr__context_list(CUcontext *out, size_t room)
{
	size_t nr;

	pthread_mutex_lock(&contexts.lock);
	nr = contexts.nr_created;
	for (size_t i = 0; i < nr && i < room; i++)
		out[i] = contexts.created[i];
	pthread_mutex_unlock(&contexts.lock);
	return nr;
}

void ccr__primary_note(CUdevice device, CUcontext ctx)
{
	if (device < 0 || device >= CCR_MAX_DEVICES)
		return;
	pthread_mutex_lock(&contexts.lock);
	contexts.primary[device] = ctx;
	pthread_mutex_unlock(&contexts.lock);
}

CUcontext ccr__primary_of(CUdevice device)
{
	CUcontext ctx;

	if (device < 0 || device >= CCR_MAX_DEVICES)
		return NULL;
	pthread_mutex_lock(&contexts.lock);
	ctx = contexts.primary[device];
	pthread_mutex_unlock(&contexts.lock);
	return ctx;
}

/* Pushes a context for our own copies: the primary one if active, else any, else a new one. */
CUresult ccr__context_push(CUdevice device, bool *retained)
{
	unsigned int flags;
	int active = 0;
	CUresult result;
	CUcontext ctx = NULL, popped;

	*retained = false;
	ccr__real.cuDevicePrimaryCtxGetState(device, &flags, &active);
	for (size_t i = 0; !active && i < ccr__memory.nr_mappings && !ctx; i++) {
		const struct ccr__mapping *m = ccr__memory.mappings[i];
		CUdevice owner = -1;

		if (!m->is_alloc || m->phys->device != (uint32_t)device ||
		    ccr__real.cuCtxPushCurrent_v2(m->ctx) != CUDA_SUCCESS)
			continue;
		if (ccr__real.cuCtxGetDevice(&owner) == CUDA_SUCCESS && owner == device)
			return CUDA_SUCCESS;
		ccr__real.cuCtxPopCurrent_v2(&popped);
	}
	result = ccr__real.cuDevicePrimaryCtxRetain(&ctx, device);
	if (result != CUDA_SUCCESS)
		return result;
	*retained = true;
	result = ccr__real.cuCtxPushCurrent_v2(ctx);
	if (result != CUDA_SUCCESS)
		ccr__real.cuDevicePrimaryCtxRelease_v2(device);
	return result;
}

void ccr__context_pop(CUdevice device, bool retained)
{
	CUcontext popped;

	ccr__real.cuCtxPopCurrent_v2(&popped);
	if (retained)
		ccr__real.cuDevicePrimaryCtxRelease_v2(device);
}

void ccr__peer_set(CUdevice accessor, CUdevice owner, bool enabled)
{
	__atomic_store_n(&contexts.peer[accessor][owner], enabled, __ATOMIC_RELAXED);
}

bool ccr__peer_enabled(CUdevice accessor, CUdevice owner)
{
	return __atomic_load_n(&contexts.peer[accessor][owner], __ATOMIC_RELAXED);
}
