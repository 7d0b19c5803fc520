// SPDX-License-Identifier: MIT
/*
 * Memory back in, at the addresses it had. The gate opens only when all of it
 * is there; until then any failure undoes what was mapped and the thread waits
 * for the next bell.
 */
#include "intercept/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Adopted at one time, so that little more device memory than the program's own is needed. */
#define BATCH_BYTES (512ull << 20)
/* Left alone by `auto`: the driver needs some to work with. */
#define SPARE_BYTES (64ull << 20)

struct attach {
	struct ccr__talk *talk;
	enum ccr_attach_mode mode;
	CUresult result;
	const char *what;
};

/* An arrived handle on its way to its place. */
struct arrival {
	struct ccr__phys *phys;
	CUmemGenericAllocationHandle imported;
};

static int check(struct attach *a, const struct ccr_wire_handle *wire, struct ccr__phys **out)
{
	struct ccr__phys *phys = ccr__phys_by_id(wire->id);

	a->what = "the pool sent an allocation this process does not have";
	if (!phys || phys->size != wire->size || phys->handle || phys->is_attached)
		return -EPROTO;
	*out = phys;
	return 0;
}

static CUresult place(struct ccr__phys *phys, CUmemGenericAllocationHandle handle, bool is_imported)
{
	const CUresult result = ccr__place_map_all(phys, handle);

	if (result != CUDA_SUCCESS)
		return result;
	phys->handle = handle;
	phys->is_imported = is_imported;
	phys->is_attached = true;
	return CUDA_SUCCESS;
}

/* Maps what was imported as it is. What is not placed in the end is released by the caller. */
static CUresult map_batch(struct arrival *batch, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const CUresult result = place(batch[i].phys, batch[i].imported, true);

		if (result != CUDA_SUCCESS)
			return result;
		batch[i].imported = 0;
	}
	return CUDA_SUCCESS;
}

static CUresult adopt_batch(struct arrival *batch, size_t nr)
{
	struct ccr__adoption adoptions[CCR_HANDLES_A_MESSAGE];
	CUresult result = CUDA_SUCCESS, finished;
	size_t begun;

	for (begun = 0; begun < nr; begun++) {
		adoptions[begun] = (struct ccr__adoption){.phys = batch[begun].phys,
							  .from = batch[begun].imported};
		result = ccr__adopt_begin(&adoptions[begun]);
		if (result != CUDA_SUCCESS)
			break;
	}
	finished = ccr__adopt_finish(adoptions, begun);
	if (result == CUDA_SUCCESS)
		result = finished;
	for (size_t i = 0; i < begun && result == CUDA_SUCCESS; i++) {
		result = place(adoptions[i].phys, adoptions[i].own, false);
		if (result == CUDA_SUCCESS)
			adoptions[i].own = 0;
	}
	if (result != CUDA_SUCCESS)
		ccr__adopt_undo(adoptions, begun);
	return result;
}

static bool fits(const struct arrival *batch, size_t nr)
{
	uint64_t needed[CCR_MAX_DEVICES] = {0};

	for (size_t i = 0; i < nr; i++)
		needed[batch[i].phys->device] += batch[i].phys->size;
	for (int device = 0; device < CCR_MAX_DEVICES; device++)
		if (needed[device] && ccr__free_bytes(device) < needed[device] + SPARE_BYTES)
			return false;
	return true;
}

static CUresult place_batch(const struct attach *a, struct arrival *batch, size_t nr)
{
	CUresult result;

	if (a->mode == CCR_ATTACH_MAP || (a->mode == CCR_ATTACH_AUTO && !fits(batch, nr)))
		return map_batch(batch, nr);
	result = adopt_batch(batch, nr);
	/* Somebody else was faster with the free memory: nothing of the batch is placed then. */
	if (result == CUDA_ERROR_OUT_OF_MEMORY && a->mode == CCR_ATTACH_AUTO &&
	    !batch[0].phys->is_attached)
		result = map_batch(batch, nr);
	return result;
}

static void release_rest(struct arrival *batch, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (batch[i].imported)
			ccr__real.cuMemRelease(batch[i].imported);
}

/* One HANDLES message; takes over the descriptors. */
static int take_message(struct attach *a, int *fds)
{
	const struct ccr_message *m = &a->talk->message;
	struct arrival batch[CCR_HANDLES_A_MESSAGE];
	uint64_t bytes = 0;
	size_t nr = 0;
	int ret = 0;

	for (uint32_t i = 0; i < m->handles.count; i++) {
		struct ccr__phys *phys;

		if (!ret)
			ret = check(a, &m->handles.entry[i], &phys);
		a->what = ret ? a->what : "placing an allocation";
		if (!ret && nr && bytes + phys->size > BATCH_BYTES) {
			a->result = place_batch(a, batch, nr);
			release_rest(batch, nr);
			ret = a->result == CUDA_SUCCESS ? 0 : -EIO;
			nr = bytes = 0;
		}
		if (!ret) {
			a->result = ccr__real.cuMemImportFromShareableHandle(
				&batch[nr].imported, (void *)(intptr_t)fds[i],
				CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
			ret = a->result == CUDA_SUCCESS ? 0 : -EIO;
		}
		close(fds[i]);
		if (ret)
			continue;
		batch[nr++].phys = phys;
		bytes += phys->size;
	}
	if (!ret && nr) {
		a->result = place_batch(a, batch, nr);
		ret = a->result == CUDA_SUCCESS ? 0 : -EIO;
	}
	release_rest(batch, nr);
	return ret;
}

static int check_complete(struct attach *a)
{
	for (const struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next)
		if (!phys->handle) {
			a->what = "the pool did not send every allocation";
			return -ENODATA;
		}
	return 0;
}

static int take_all(struct attach *a)
{
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds;

	for (;;) {
		int ret = ccr_message_receive(a->talk->socket, &a->talk->message, fds, &nr_fds, -1);

		a->what = "the connection to the pool";
		if (ret)
			return ret;
		switch (a->talk->message.type) {
		case CCR_MSG_HANDLES:
			ret = take_message(a, fds);
			if (ret)
				return ret;
			break;
		case CCR_MSG_END:
			return check_complete(a);
		default:
			a->what = "the pool gave up";
			return -ECANCELED;
		}
	}
}

/* `keep`: everything is there; otherwise back to evicted. */
static void settle(bool keep)
{
	for (struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next) {
		if (!phys->is_attached)
			continue;
		phys->is_attached = false;
		if (keep)
			continue;
		ccr__place_unmap_all(phys);
		ccr__real.cuMemRelease(phys->handle);
		phys->handle = 0;
		phys->is_imported = false;
	}
	ccr__memory.is_evicted = !keep;
}

void ccr__attach(struct ccr__talk *talk, enum ccr_attach_mode mode)
{
	struct attach a = {.talk = talk, .mode = mode};
	int ret;

	ccr__memory_lock();
	ret = take_all(&a);
	settle(!ret);
	ccr__memory_unlock();
	if (ret) {
		ccr__talk_failed(talk, ret, a.result, a.what);
		return;
	}
	ccr__gate_open();
	ccr_message_init(&talk->message, CCR_MSG_DONE, talk->operation);
	ccr_message_send(talk->socket, &talk->message, NULL, 0);
}
