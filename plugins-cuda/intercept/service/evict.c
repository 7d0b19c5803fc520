// SPDX-License-Identifier: MIT
/*
 * Exports everything that can be moved to the pool, and releases it once the pool
 * has imported all of it. Nothing is released before that, so after any failure
 * the memory is where it was, and the gate is open, or closed as before in a group.
 */
#include "intercept/calls/calls.h"
#include "intercept/gate/gate.h"
#include "intercept/records/event_page.h"
#include "intercept/records/kept.h"
#include "intercept/service/adopt.h"
#include "intercept/service/service.h"
#include "intercept/service/sharing.h"
#include "common/protocol/message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

struct evict {
	struct ccr__connection *connection;
	uint32_t timeout_ms;
	CUresult result;
	const char *what;
	int index_of[CCR_MAX_DEVICES]; /* index in DEVICES; -1: not used */
};

/* Its bytes go to the pool. */
static bool is_moved(const struct ccr__phys *phys)
{
	return !phys->is_excluded && !phys->is_foreign;
}

/* It is unmapped and released, as what the program has imported is, too. */
static bool is_released(const struct ccr__phys *phys)
{
	return !phys->is_excluded;
}

/* --- adopting what an earlier attach only mapped --- */

static CUresult replace_mapping(struct ccr__adoption *a)
{
	struct ccr__phys *phys = a->phys;
	CUresult result = ccr__place_unmap_all(phys);

	if (result == CUDA_SUCCESS)
		result = ccr__place_map_all(phys, a->own);
	if (result != CUDA_SUCCESS) {
		/* Restore the program's mappings. */
		ccr__place_map_all(phys, a->from);
		return result;
	}
	ccr__real.cuMemRelease(a->from);
	phys->handle = a->own;
	phys->is_imported = false;
	a->own = 0;
	return CUDA_SUCCESS;
}

static CUresult adopt_batch(struct ccr__adopt_batch *batch)
{
	CUresult result = CUDA_SUCCESS;

	if (batch->nr)
		result = ccr__adopt_create(batch);
	if (batch->nr && result == CUDA_SUCCESS)
		result = ccr__adopt_copy(batch, CCR__FROM_PLACED);
	for (size_t i = 0; i < batch->nr && result == CUDA_SUCCESS; i++)
		result = replace_mapping(&batch->entries[i]);
	ccr__adopt_undo(batch);
	*batch = (struct ccr__adopt_batch){.nr = 0};
	return result;
}

/* Each batch frees what it replaces, so this needs little free memory. */
static CUresult adopt_imported(void)
{
	struct ccr__adopt_batch batch = {.nr = 0};
	CUresult result = CUDA_SUCCESS;

	for (struct ccr__phys *phys = ccr__memory.all; phys && result == CUDA_SUCCESS;
	     phys = phys->next) {
		if (!phys->is_imported || !is_moved(phys))
			continue;
		if (!ccr__adopt_fits(&batch, phys) ||
		    batch.bytes + phys->size > ccr__adopt_room(phys->device))
			result = adopt_batch(&batch);
		if (result == CUDA_SUCCESS)
			ccr__adopt_add(&batch, phys, phys->handle, 0, phys->size);
	}
	return result == CUDA_SUCCESS ? adopt_batch(&batch) : result;
}

/* --- sending --- */

static int send_devices(struct evict *e)
{
	struct ccr_message *m = &e->connection->message;

	memset(e->index_of, -1, sizeof(e->index_of));
	ccr_message_init(m, CCR_MSG_DEVICES, e->connection->operation);
	for (const struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next) {
		CUuuid uuid;

		if (!is_moved(phys) || e->index_of[phys->device] >= 0)
			continue;
		e->result = ccr__real.cuDeviceGetUuid_v2(&uuid, phys->device);
		if (e->result != CUDA_SUCCESS)
			return -EIO;
		e->index_of[phys->device] = m->devices.count;
		memcpy(m->devices.uuid[m->devices.count++], uuid.bytes, 16);
	}
	return ccr_message_send(e->connection->socket, m, NULL, 0);
}

static int flush_handles(struct evict *e, int *fds)
{
	struct ccr_message *m = &e->connection->message;
	const uint32_t nr = m->handles.count;
	int ret = 0;

	if (nr)
		ret = ccr_message_send_waiting(e->connection->socket, m, fds, nr, e->timeout_ms);
	for (uint32_t i = 0; i < nr; i++)
		close(fds[i]);
	ccr_message_init(m, CCR_MSG_HANDLES, e->connection->operation);
	return ret;
}

static int add_handle(struct evict *e, const struct ccr__phys *phys, int *fds)
{
	struct ccr_message *m = &e->connection->message;
	int ret;

	for (int attempt = 0;; attempt++) {
		e->result = ccr__real.cuMemExportToShareableHandle(
			&fds[m->handles.count], phys->handle,
			CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
		if (e->result == CUDA_SUCCESS)
			break;
		/* The program may be near its limit of open files: send what we have first. */
		if (attempt || !m->handles.count)
			return -EIO;
		ret = flush_handles(e, fds);
		if (ret)
			return ret;
	}
	m->handles.entry[m->handles.count] = (struct ccr_wire_handle){
		.id = phys->id,
		.size = phys->size,
		.memory_size = phys->size,
		.fd = m->handles.count,
		.address = phys->maps ? phys->maps->base : 0,
		.requested = phys->requested,
		.device = e->index_of[phys->device],
		.flags = phys->is_own_vmm ? CCR_HANDLE_OWN_VMM : 0,
	};
	m->handles.count++;
	return m->handles.count == CCR_HANDLES_A_MESSAGE ? flush_handles(e, fds) : 0;
}

static int send_all(struct evict *e)
{
	int fds[CCR_HANDLES_A_MESSAGE], ret, flushed;

	e->what = "cannot send the list of allocations";
	ret = send_devices(e);
	if (ret)
		return ret;
	e->what = "cannot export an allocation";
	ccr_message_init(&e->connection->message, CCR_MSG_HANDLES, e->connection->operation);
	for (const struct ccr__phys *phys = ccr__memory.all; phys && !ret; phys = phys->next)
		if (is_moved(phys))
			ret = add_handle(e, phys, fds);
	flushed = flush_handles(e, fds);
	ret = ret ? ret : flushed;
	if (ret)
		return ret;
	ccr_message_init(&e->connection->message, CCR_MSG_END, e->connection->operation);
	return ccr_message_send(e->connection->socket, &e->connection->message, NULL, 0);
}

/* --- releasing --- */

static void map_again(const struct ccr__phys *end)
{
	for (struct ccr__phys *phys = ccr__memory.all; phys != end; phys = phys->next)
		if (is_released(phys) && ccr__place_map_all(phys, phys->handle) != CUDA_SUCCESS)
			ccr_err("cannot map allocation %llu again", (unsigned long long)phys->id);
}

static bool is_connected(int socket)
{
	struct pollfd poller = {.fd = socket, .events = POLLIN};

	/* The pool sends nothing now, so the socket is readable only after an ABORT or its end. */
	return !poll(&poller, 1, 0);
}

static int unmap_all(struct evict *e)
{
	struct ccr__phys *phys;

	e->what = "cannot unmap an allocation";
	for (phys = ccr__memory.all; phys; phys = phys->next) {
		if (!is_released(phys))
			continue;
		e->result = ccr__place_unmap_all(phys);
		if (e->result != CUDA_SUCCESS) {
			map_again(phys->next);
			return -EIO;
		}
	}
	if (!is_connected(e->connection->socket)) {
		map_again(NULL);
		e->what = "the pool ended before the memory was released";
		return -EPIPE;
	}
	return 0;
}

/* First unmaps everything, then releases it, so that a failure to unmap can be undone. */
static int release_all(struct evict *e)
{
	struct ccr__phys *phys;
	int ret;

	e->what = "cannot save the events that processes share";
	ret = ccr__event_pages_prepare(&e->result);
	if (ret)
		return ret;
	ret = unmap_all(e);
	if (ret) {
		ccr__event_pages_stay();
		return ret;
	}
	for (phys = ccr__memory.all; phys; phys = phys->next) {
		if (!is_released(phys))
			continue;
		e->result = ccr__real.cuMemRelease(phys->handle);
		if (e->result != CUDA_SUCCESS)
			ccr_err("cannot release allocation %llu: %s", (unsigned long long)phys->id,
				ccr_cuda_error_name(e->result));
		phys->handle = 0;
	}
	ccr__event_pages_leave();
	ccr__kept_end();
	ccr__memory.is_evicted = true;
	return 0;
}

static int wait_held(struct evict *e)
{
	const int ret =
		ccr_message_receive(e->connection->socket, &e->connection->message, NULL, NULL, -1);

	e->what = "the pool did not import the memory";
	if (ret)
		return ret;
	return e->connection->message.type == CCR_MSG_HELD ? 0 : -ECANCELED;
}

static int evict_quiet(struct evict *e)
{
	int ret;

	ret = ccr__sharing_check(e->connection, &e->what);
	if (ret)
		return ret;
	e->what = "cannot adopt memory that is mapped from the pool";
	e->result = adopt_imported();
	if (e->result != CUDA_SUCCESS)
		return e->result == CUDA_ERROR_OUT_OF_MEMORY ? -ENOMEM : -EIO;
	ret = send_all(e);
	if (!ret)
		ret = wait_held(e);
	return ret ? ret : release_all(e);
}

/* The pool may still be sending, until it has read that the memory stays here. If it is lost, the
 * gate opens. */
static bool stay_quiet(struct ccr__connection *connection, bool is_aborted)
{
	struct ccr_message *m = &connection->message;
	int ret = 0;

	while (!is_aborted && (!ret || ret == -EPROTO)) {
		ret = ccr_message_receive(connection->socket, m, NULL, NULL, -1);
		is_aborted = !ret && m->type == CCR_MSG_ABORT;
	}
	ccr_message_init(m, CCR_MSG_QUIET, connection->operation);
	if (is_aborted && !ccr_message_send(connection->socket, m, NULL, 0))
		return true;
	ccr__service_open_gate();
	return false;
}

bool ccr__evict(struct ccr__connection *connection, bool is_quiet)
{
	struct evict e = {.connection = connection,
			  .timeout_ms = connection->message.evict.timeout_ms};
	int ret = 0;

	if (!is_quiet)
		ret = ccr__quiesce(ccr__now_ns() + e.timeout_ms * 1000000ull, &e.result, &e.what);
	if (!ret) {
		ccr__alloc_flush();
		ccr__memory_lock();
		ret = evict_quiet(&e);
		ccr__memory_unlock();
		if (ret && !is_quiet)
			ccr__service_open_gate();
	}
	if (ret && is_quiet) {
		const bool is_aborted = connection->message.type == CCR_MSG_ABORT;

		ccr__connection_say_failed(connection, ret, e.result, e.what);
		return stay_quiet(connection, is_aborted);
	}
	if (ret) {
		ccr__connection_fail(connection, ret, e.result, e.what);
		return false;
	}
	ccr_message_init(&connection->message, CCR_MSG_DONE, connection->operation);
	ccr_message_send(connection->socket, &connection->message, NULL, 0);
	return false;
}
