// SPDX-License-Identifier: MIT
/*
 * Maps the memory at its old addresses. The gate opens only when all of it is
 * mapped, and that of the other members of a group; until then, any failure unmaps
 * everything again and the thread waits for the next connection. Only when the pool is lost
 * while all of it is mapped, it stays: other members may run on with theirs.
 */
#include "intercept/records/events.h"
#include "intercept/records/ipc.h"
#include "intercept/records/kept.h"
#include "intercept/service/adopt.h"
#include "intercept/service/service.h"
#include "intercept/service/sharing.h"
#include "common/protocol/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct attach {
	struct ccr__connection *connection;
	enum ccr_attach_mode mode;
	bool is_group;
	CUresult result;
	const char *what;
};

static int check(struct attach *a, const struct ccr_wire_handle *wire, struct ccr__phys **out)
{
	struct ccr__phys *phys = ccr__phys_by_id(wire->id);

	a->what = "the pool sent an allocation this process does not have";
	if (!phys || phys->is_foreign || phys->size != wire->size || phys->handle ||
	    phys->is_attached)
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

static bool is_part(const struct ccr__adoption *a)
{
	return a->offset || a->from_size != a->phys->size;
}

/* Maps what was imported as it is. The caller releases what was not mapped. */
static CUresult map_batch(struct ccr__adopt_batch *batch)
{
	for (size_t i = 0; i < batch->nr; i++) {
		struct ccr__adoption *a = &batch->entries[i];
		const CUresult result = place(a->phys, a->from, true);

		if (result != CUDA_SUCCESS)
			return result;
		a->from = 0;
	}
	return CUDA_SUCCESS;
}

/* On failure, finish() undoes what was mapped, together with everything else. */
static CUresult adopt_batch(struct ccr__adopt_batch *batch)
{
	CUresult result = ccr__adopt_create(batch);

	for (size_t i = 0; i < batch->nr && result == CUDA_SUCCESS; i++)
		result = place(batch->entries[i].phys, batch->entries[i].own, false);
	if (result == CUDA_SUCCESS)
		result = ccr__adopt_copy(batch, CCR__OWN_PLACED);
	for (size_t i = 0; i < batch->nr; i++)
		if (batch->entries[i].phys->is_attached)
			batch->entries[i].own = 0;
	ccr__adopt_undo(batch);
	return result;
}

/* What was imported from the pool cannot be exported to others. */
static bool is_for_others(const struct attach *a, const struct ccr__phys *phys)
{
	return (a->is_group && phys->is_exported) || phys->ipc;
}

/* A batch is one or the other, because a large allocation may not have room for a copy. */
static bool must_adopt(const struct attach *a, const struct ccr__adopt_batch *batch)
{
	const struct ccr__adoption *first = &batch->entries[0];

	if (is_part(first))
		return true;
	/* Others have kept the memory: a group is only told to map what it must have again. */
	if (a->is_group && a->mode == CCR_ATTACH_MAP)
		return false;
	return is_for_others(a, first->phys);
}

static bool fits(const struct attach *a, const struct ccr__adopt_batch *batch,
		 const struct ccr__phys *phys)
{
	return ccr__adopt_fits(batch, phys) &&
	       (!batch->nr || is_for_others(a, phys) == is_for_others(a, batch->entries[0].phys));
}

static CUresult place_batch(const struct attach *a, struct ccr__adopt_batch *batch)
{
	CUresult result;

	if (!batch->nr)
		return CUDA_SUCCESS;
	/* So must a part of a larger allocation. */
	if (must_adopt(a, batch))
		return adopt_batch(batch);
	if (a->mode == CCR_ATTACH_MAP ||
	    (a->mode == CCR_ATTACH_AUTO &&
	     ccr__adopt_room(batch->entries[0].phys->device) < batch->bytes))
		return map_batch(batch);
	result = adopt_batch(batch);
	/* Another process took the free memory: nothing of the batch is mapped. */
	if (result == CUDA_ERROR_OUT_OF_MEMORY && a->mode == CCR_ATTACH_AUTO &&
	    !batch->entries[0].phys->is_attached)
		result = map_batch(batch);
	return result;
}

/* Releases each imported handle once, although neighboring entries may share it. */
static void release_imported(const struct ccr__adopt_batch *batch)
{
	CUmemGenericAllocationHandle last = 0;

	for (size_t i = 0; i < batch->nr; i++) {
		const CUmemGenericAllocationHandle from = batch->entries[i].from;

		if (from && from != last)
			ccr__real.cuMemRelease(from);
		last = from;
	}
}

/* Maps the collected entries and empties the batch. Returns 0 or -errno. */
static int flush(struct attach *a, struct ccr__adopt_batch *batch)
{
	a->result = place_batch(a, batch);
	release_imported(batch);
	*batch = (struct ccr__adopt_batch){.nr = 0};
	return a->result == CUDA_SUCCESS ? 0 : -EIO;
}

/* Handles one entry of a message; the caller still owns the descriptors. */
static int take_handle(struct attach *a, uint32_t index, const int *fds,
		       struct ccr__adopt_batch *batch)
{
	const struct ccr_wire_handle *wire = &a->connection->message.handles.entry[index];
	CUmemGenericAllocationHandle imported;
	struct ccr__phys *phys;
	int ret = check(a, wire, &phys);

	if (ret)
		return ret;
	a->what = "cannot map an allocation";
	ret = fits(a, batch, phys) ? 0 : flush(a, batch);
	if (ret)
		return ret;
	if (batch->nr && wire[-1].fd == wire->fd) {
		imported = batch->entries[batch->nr - 1].from;
	} else {
		a->result = ccr__real.cuMemImportFromShareableHandle(
			&imported, (void *)(intptr_t)fds[wire->fd],
			CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
		if (a->result != CUDA_SUCCESS)
			return -EIO;
	}
	ccr__adopt_add(batch, phys, imported, wire->offset, wire->memory_size);
	return 0;
}

/* Handles one HANDLES message; closes the descriptors. */
static int take_message(struct attach *a, const int *fds, int nr_fds)
{
	struct ccr__adopt_batch batch = {.nr = 0};
	int ret = 0;

	for (uint32_t i = 0; !ret && i < a->connection->message.handles.count; i++)
		ret = take_handle(a, i, fds, &batch);
	if (!ret)
		ret = flush(a, &batch);
	else
		release_imported(&batch);
	for (int i = 0; i < nr_fds; i++)
		close(fds[i]);
	return ret;
}

static int check_complete(struct attach *a)
{
	for (const struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next)
		if (!phys->handle && !(a->is_group && phys->is_foreign)) {
			a->what = "the pool did not send every allocation";
			return -ENODATA;
		}
	return 0;
}

/* What others have of this process; before one of them, whose gate may open first, asks for it. */
static int publish(struct attach *a)
{
	const int ret = ccr__event_pages_return();

	ccr__ipc_publish_all();
	if (ret)
		a->what = "cannot make the events again that processes share";
	else if (!a->is_group && !ccr__event_pages_are_there())
		a->what = "the pool did not send the events of another process";
	else
		return 0;
	return ret ? ret : -ENODATA;
}

static int take_all(struct attach *a)
{
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds;

	for (;;) {
		int ret = ccr_message_receive(a->connection->socket, &a->connection->message, fds,
					      &nr_fds, -1);

		a->what = "lost the connection to the pool";
		if (ret)
			return ret;
		switch (a->connection->message.type) {
		case CCR_MSG_HANDLES:
			ret = take_message(a, fds, nr_fds);
			if (ret)
				return ret;
			break;
		case CCR_MSG_END:
			return check_complete(a);
		default:
			a->what = "the pool aborted the operation";
			return -ECANCELED;
		}
	}
}

/* `keep`: everything is mapped; otherwise undoes it, and all memory is evicted as before. */
static void finish(bool keep)
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
	ccr__event_pages_attached(keep);
	if (!keep)
		ccr__kept_end();
	ccr__memory.is_evicted = !keep;
}

static void open_gate(struct ccr__connection *connection)
{
	ccr__service_open_gate();
	ccr_message_init(&connection->message, CCR_MSG_DONE, connection->operation);
	ccr_message_send(connection->socket, &connection->message, NULL, 0);
}

void ccr__attach_open(struct ccr__connection *connection)
{
	ccr__memory_lock();
	ccr__memory.is_placed = false;
	finish(true);
	ccr__memory_unlock();
	open_gate(connection);
}

void ccr__attach(struct ccr__connection *connection, uint32_t mode)
{
	struct attach a = {.connection = connection,
			   .mode = mode & ~CCR_ATTACH_GROUP,
			   .is_group = mode & CCR_ATTACH_GROUP};
	int ret;

	ccr__memory_lock();
	if (ccr__memory.is_placed)
		finish(false);
	ccr__memory.is_placed = false;
	ret = take_all(&a);
	if (!ret)
		ret = publish(&a);
	if (!ret && a.is_group) {
		ret = ccr__sharing_serve(connection, &a.result, &a.what);
		ccr__memory.is_placed = ret == -EPIPE && ccr__sharing_is_complete();
	}
	if (!ccr__memory.is_placed)
		finish(!ret);
	ccr__memory_unlock();
	if (ret)
		ccr__connection_fail(connection, ret, a.result, a.what);
	else
		open_gate(connection);
}
