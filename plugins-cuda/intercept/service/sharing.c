// SPDX-License-Identifier: MIT
#include "intercept/service/sharing.h"
#include "common/protocol/message.h"
#include "intercept/gate/gate.h"
#include "intercept/keeper/keeper.h"
#include "intercept/records/event_page.h"
#include "intercept/records/kept.h"
#include "intercept/service/service.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* For a connection whose receiver has too many descriptors in flight. */
#define PAUSE_NS 200000
#define WAIT_NS	 10000000000ull

/* --- evict --- */

struct batch {
	struct ccr__connection *connection;
	uint64_t numbers[CCR_HANDLES_A_MESSAGE];
};

/* The part of imported memory that is mapped; only its exporter knows the size. */
static uint64_t mapped_size(const struct ccr__phys *phys)
{
	uint64_t size = phys->size;

	for (const struct ccr__mapping *m = phys->maps; m; m = m->next)
		if (m->offset + m->size > size)
			size = m->offset + m->size;
	return size;
}

static int flush(struct batch *b)
{
	struct ccr_message *m = &b->connection->message;
	const uint64_t deadline = ccr__now_ns() + WAIT_NS;
	int ret = 0;

	while (m->shared.count) {
		ret = ccr__keep_send(b->connection->socket, m, ccr_message_size(m), b->numbers,
				     m->shared.count);
		if (ret != -ETOOMANYREFS || ccr__now_ns() >= deadline)
			break;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	}
	ccr_message_init(m, CCR_MSG_SHARED, b->connection->operation);
	return ret;
}

static int add(struct batch *b, uint64_t number, const struct ccr_wire_shared *entry)
{
	struct ccr_message *m = &b->connection->message;

	b->numbers[m->shared.count] = number;
	m->shared.entry[m->shared.count++] = *entry;
	return m->shared.count == CCR_HANDLES_A_MESSAGE ? flush(b) : 0;
}

static int add_memory(struct batch *b, const struct ccr__phys *phys)
{
	const struct ccr_wire_shared entry = {
		.id = phys->id,
		.size = mapped_size(phys),
		.address = phys->maps ? phys->maps->base : 0,
		.kind = phys->is_foreign ? CCR_SHARED_IMPORT : CCR_SHARED_EXPORT,
	};
	int ret = 0;

	for (const struct ccr__kept *kept = phys->kept; !ret && kept; kept = kept->next)
		ret = add(b, kept->number, &entry);
	return ret;
}

/* The pool matches them by their files like memory, and asks for nothing else. */
static int add_events(struct batch *b, const struct ccr__event_page *page)
{
	const struct ccr_wire_shared entry = {
		.id = page->id,
		.size = CCR__EVENT_PAGE_BYTES,
		.address = (uintptr_t)page->slots,
		.kind = page->is_foreign ? CCR_SHARED_IMPORT : CCR_SHARED_EXPORT,
	};

	/* Others may have events open that this process has destroyed. */
	return page->nr_shared || page->is_published ? add(b, page->kept, &entry) : 0;
}

static bool is_lost(const struct ccr__phys *phys)
{
	return phys->is_foreign && (phys->is_excluded || !phys->kept);
}

int ccr__sharing_send(struct ccr__connection *connection, const char **what)
{
	struct batch b = {.connection = connection};
	int ret = 0, flushed;

	*what = "cannot send the list of shared allocations";
	ccr_message_init(&connection->message, CCR_MSG_SHARED, connection->operation);
	for (const struct ccr__phys *phys = ccr__memory.all; !ret && phys; phys = phys->next) {
		if (is_lost(phys)) {
			*what = "the program uses imported memory in a way that cannot be restored";
			return -EXDEV;
		}
		ret = add_memory(&b, phys);
	}
	for (const struct ccr__event_page *p = ccr__event_pages; !ret && p; p = p->next)
		ret = add_events(&b, p);
	flushed = flush(&b);
	ret = ret ? ret : flushed;
	if (ret == -ESTALE)
		*what = "the descriptors of shared memory were lost when the process was restored "
			"without the pool; start the program again";
	if (ret)
		return ret;
	connection->is_sharing_known = true;
	ccr_message_init(&connection->message, CCR_MSG_END, connection->operation);
	return ccr_message_send(connection->socket, &connection->message, NULL, 0);
}

int ccr__sharing_check(const struct ccr__connection *connection, const char **what)
{
	*what = "the program has imported memory of a process that is not dumped with it";
	if (!connection->is_sharing_known)
		for (const struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next)
			if (phys->is_foreign)
				return -EXDEV;
	for (const struct ccr__event_page *p = ccr__event_pages; p; p = p->next)
		if (!connection->is_sharing_known && p->is_foreign && p->nr_shared) {
			*what = "the program waits for events of a process that is not dumped "
				"with it";
			return -EXDEV;
		}
	return 0;
}

/* --- attach --- */

struct serving {
	struct ccr__connection *connection;
	CUresult result;
	const char *what;
	bool is_running; /* the gate is open, and other importers may have the memory */
};

static void close_all(const int *fds, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		close(fds[i]);
}

static int send_handles(struct serving *s, struct ccr_message *m, int *fds)
{
	const uint32_t nr = m->handles.count;
	const int ret =
		nr ? ccr_message_send_waiting(s->connection->socket, m, fds, nr, UINT32_MAX) : 0;

	close_all(fds, nr);
	ccr_message_init(m, CCR_MSG_HANDLES, s->connection->operation);
	return ret;
}

/* Adds a descriptor of the page to the answer. */
static int export_events(struct serving *s, const struct ccr__event_page *page,
			 struct ccr_message *m, int *fds)
{
	int fd = ccr__event_page_export(page);

	s->what = "cannot export the events that processes share";
	/* The program may be near its limit of open files. */
	if (fd == -EMFILE && m->handles.count) {
		const int ret = send_handles(s, m, fds);

		if (ret)
			return ret;
		fd = ccr__event_page_export(page);
	}
	if (fd < 0)
		return fd;
	fds[m->handles.count] = fd;
	m->handles.entry[m->handles.count] =
		(struct ccr_wire_handle){.id = page->id, .fd = m->handles.count};
	m->handles.count++;
	return 0;
}

static int export_one(struct serving *s, uint64_t id, struct ccr_message *m, int *fds)
{
	const struct ccr__event_page *page = ccr__event_page_by_id(id);
	struct ccr__phys *phys = ccr__phys_by_id(id);
	int ret;

	if (page && !page->is_foreign)
		return export_events(s, page, m, fds);

	s->what = "the pool asked for an allocation that this process does not have";
	if (!phys || phys->is_foreign || !phys->handle)
		return -EPROTO;
	s->what = "cannot export an allocation";
	for (int attempt = 0;; attempt++) {
		s->result = ccr__real.cuMemExportToShareableHandle(
			&fds[m->handles.count], phys->handle,
			CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
		if (s->result == CUDA_SUCCESS)
			break;
		/* The program may be near its limit of open files. */
		if (attempt || !m->handles.count)
			return -EIO;
		ret = send_handles(s, m, fds);
		if (ret)
			return ret;
	}
	/* By this file, the importers will know it from now on. */
	if (s->is_running ? ccr__kept_add(phys, fds[m->handles.count])
			  : ccr__kept_replace(phys, fds[m->handles.count]))
		ccr__phys_exclude(phys, "its descriptor cannot be kept");
	m->handles.entry[m->handles.count] = (struct ccr_wire_handle){
		.id = id, .size = phys->size, .memory_size = phys->size, .fd = m->handles.count};
	m->handles.count++;
	return 0;
}

static int export_all(struct serving *s)
{
	const struct ccr_message *request = &s->connection->message;
	const uint32_t nr = request->exports.count;
	uint64_t ids[CCR_HANDLES_A_MESSAGE];
	int fds[CCR_HANDLES_A_MESSAGE], ret = 0, sent;
	struct ccr_message *m = &s->connection->message;

	memcpy(ids, request->exports.id, nr * sizeof(*ids));
	ccr_message_init(m, CCR_MSG_HANDLES, s->connection->operation);
	for (uint32_t i = 0; !ret && i < nr; i++)
		ret = export_one(s, ids[i], m, fds);
	sent = send_handles(s, m, fds);
	return ret ? ret : sent;
}

/* The page of a foreign process, or ours, which others have kept. */
static int take_events(struct serving *s, struct ccr__event_page *page, int fd)
{
	s->what = "cannot map the events that processes share";
	return ccr__event_page_take(page, fd);
}

/* The memory is the same as before, and so is the file by which an importer knows it. */
static int keep_one(struct serving *s, uint64_t id, int fd)
{
	struct ccr__event_page *page = ccr__event_page_by_id(id);
	struct ccr__phys *phys = ccr__phys_by_id(id);

	if (page && !page->is_foreign)
		return take_events(s, page, fd);
	s->what = "the pool sent an export that this process does not have";
	if (!phys || phys->is_foreign)
		return -EPROTO;
	if (ccr__kept_add(phys, fd))
		ccr__phys_exclude(phys, "its descriptor cannot be kept");
	return 0;
}

static int take_one(struct serving *s, const struct ccr_wire_shared *wire, int fd)
{
	struct ccr__event_page *page = ccr__event_page_by_id(wire->id);
	struct ccr__phys *phys = ccr__phys_by_id(wire->id);
	CUmemGenericAllocationHandle handle;

	if (page && page->is_foreign)
		return take_events(s, page, fd);
	s->what = "the pool sent an import that this process does not have";
	if (!phys || !phys->is_foreign || phys->handle)
		return -EPROTO;
	s->what = "cannot map imported memory";
	s->result = ccr__real.cuMemImportFromShareableHandle(
		&handle, (void *)(intptr_t)fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
	if (s->result != CUDA_SUCCESS)
		return -EIO;
	s->result = ccr__place_map_all(phys, handle);
	if (s->result != CUDA_SUCCESS) {
		ccr__real.cuMemRelease(handle);
		return -EIO;
	}
	phys->handle = handle;
	phys->is_attached = true;
	if (ccr__kept_replace(phys, fd))
		ccr__phys_exclude(phys, "its descriptor cannot be kept");
	return 0;
}

static int take_shared(struct serving *s, const int *fds, int nr_fds)
{
	const struct ccr_message *m = &s->connection->message;
	int ret = 0;

	for (uint32_t i = 0; !ret && i < m->shared.count; i++)
		ret = m->shared.entry[i].kind == CCR_SHARED_EXPORT
			      ? keep_one(s, m->shared.entry[i].id, fds[i])
			      : take_one(s, &m->shared.entry[i], fds[i]);
	close_all(fds, nr_fds);
	return ret;
}

static int say_placed(struct serving *s)
{
	ccr_message_init(&s->connection->message, CCR_MSG_PLACED, s->connection->operation);
	s->what = "lost the connection to the pool";
	return ccr_message_send(s->connection->socket, &s->connection->message, NULL, 0);
}

bool ccr__sharing_is_complete(void)
{
	for (const struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next)
		if (!phys->handle)
			return false;
	return ccr__event_pages_are_there();
}

static int check_complete(struct serving *s)
{
	if (ccr__sharing_is_complete())
		return 0;
	s->what = ccr__event_pages_are_there()
			  ? "the pool did not send every import"
			  : "the pool did not send the events of another process";
	return -ENODATA;
}

static int serve_one(struct serving *s, bool *is_open)
{
	struct ccr_message *m = &s->connection->message;
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds = 0, ret;

	s->what = "lost the connection to the pool";
	ret = ccr_message_receive(s->connection->socket, m, fds, &nr_fds, -1);
	if (ret)
		return ret;
	switch (m->type) {
	case CCR_MSG_EXPORT:
		return export_all(s);
	case CCR_MSG_SHARED:
		return take_shared(s, fds, nr_fds);
	case CCR_MSG_END:
		return say_placed(s);
	case CCR_MSG_OPEN:
		*is_open = true;
		return check_complete(s);
	default:
		close_all(fds, nr_fds);
		s->what = "the pool aborted the operation";
		return -ECANCELED;
	}
}

int ccr__sharing_serve(struct ccr__connection *connection, CUresult *result, const char **what)
{
	struct serving s = {.connection = connection};
	bool is_open = false;
	int ret = say_placed(&s);

	while (!ret && !is_open)
		ret = serve_one(&s, &is_open);
	*result = s.result;
	*what = s.what;
	return ret;
}

void ccr__sharing_export(struct ccr__connection *connection)
{
	struct ccr_message *m = &connection->message;
	struct serving s = {.connection = connection, .is_running = true};
	int ret = 0;

	while (!ret && m->type == CCR_MSG_EXPORT) {
		ccr__memory_lock();
		ret = export_all(&s);
		ccr__memory_unlock();
		if (ret)
			ccr__connection_fail(connection, ret, s.result, s.what);
		else
			ret = ccr_message_receive(connection->socket, m, NULL, NULL, -1);
	}
}
