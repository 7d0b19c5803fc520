// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes the bytes of mappings from a stopped task, which are in its page file by
 * then. No mapping is added: private memory is dropped, shared memory becomes a
 * hole of its object, and all access to the mapping is taken away, so that a
 * task that is restored without us ends at its first access instead of reading
 * zeroes.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "common/io.h"
#include "plugin/host/remap/remap.h"
#include "plugin/host/remap/smaps.h"
#include "plugin/inject/inject.h"
#include "plugin/task/state.h"

#define BUFFER (1u << 20)

struct emptier {
	struct injection in;
	const struct remap_plan *plan;
	int fd, task_fd; /* the page file, in criu and in the task; task_fd may be -errno */
};

/* Returns 0 with the result of the call in `result`, or -errno: the task does not respond. */
static int call(struct emptier *e, int64_t *result, long number, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t arguments[6] = {a, b, c};

	return ccr__inject_call(&e->in, result, number, arguments);
}

static void refused(const struct emptier *e, const struct remap_mapping *m, int error)
{
	ccr_warn("%d: pages of the mapping at %#llx are left to CRIU: %s", e->in.pid,
		 (unsigned long long)m->address, strerror(-error));
}

/* `dropped`: its pages. Once some are gone, it counts as empty, whatever is left in it. */
static int empty(struct emptier *e, const struct remap_mapping *m,
		 const struct remap_dropped *dropped, bool *is_done)
{
	int64_t result;
	int ret;

	if (m->is_page_file) {
		ret = ccr__remap_make_anonymous(&e->in, m, m->keeps_access ? m->prot : PROT_NONE);
		*is_done = !ret;
		return ret;
	}
	*is_done = dropped->is_any || !dropped->error;
	if (dropped->error)
		refused(e, m, dropped->error);
	if (!*is_done)
		return 0;
	/* If this fails, the memory is empty and accessible, and is filled as well. */
	return m->keeps_access ? 0 : call(e, &result, SYS_mprotect, m->address, m->size, PROT_NONE);
}

/* ---- what the driver has allocated ---- */

static bool is_mapped(pid_t pid, uint64_t address)
{
	char byte;
	const struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)address, 1};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == 1;
}

static int write_piece(const struct emptier *e, const struct remap_piece *piece)
{
	char *buffer = malloc(BUFFER);
	int ret = buffer ? 0 : -ENOMEM;

	for (uint64_t done = 0; !ret && done < piece->size; done += BUFFER) {
		const size_t size = piece->size - done < BUFFER ? piece->size - done : BUFFER;

		ret = ccr_io_pread_full(e->fd, buffer, size, piece->offset + done);
		if (!ret)
			ret = ccr__remap_write(e->in.pid, piece->address + done, buffer, size);
	}
	free(buffer);
	return ret;
}

/* Linux may remove what was mapped before it finds out that it cannot map the file. */
static int put_back(struct emptier *e, const struct remap_piece *piece)
{
	int ret;

	if (is_mapped(e->in.pid, piece->address))
		return 0;
	ret = ccr__remap_make_anonymous(&e->in, piece->mapping, piece->mapping->prot);
	if (!ret)
		ret = write_piece(e, piece);
	if (ret) {
		ccr_err("killing %d: cannot restore its memory at %#llx: %s", e->in.pid,
			(unsigned long long)piece->address, strerror(-ret));
		kill(e->in.pid, SIGKILL);
	}
	return ret;
}

static int map_file(struct emptier *e, const struct remap_piece *piece, bool *is_done)
{
	const struct remap_mapping *m = piece->mapping;
	const int flags =
		MAP_PRIVATE | MAP_FIXED | (m->flags & MAPPING_NORESERVE ? MAP_NORESERVE : 0);
	const uint64_t arguments[6] = {piece->address, piece->size, m->prot,
				       flags,	       e->task_fd,  piece->offset};
	int64_t result = e->task_fd;
	int ret = 0;

	if (e->task_fd >= 0)
		ret = ccr__inject_call(&e->in, &result, SYS_mmap, arguments);
	*is_done = !ret && result == (int64_t)piece->address;
	if (ret || *is_done)
		return ret;
	refused(e, m, result);
	return e->task_fd >= 0 ? put_back(e, piece) : 0;
}

/* ---- all of them ---- */

static bool is_any_mapped(const struct remap_plan *plan)
{
	for (size_t i = 0; i < plan->nr_mappings; i++)
		if (plan->mappings[i].is_mapped)
			return true;
	return false;
}

static int empty_all(struct emptier *e, size_t *emptied)
{
	const struct remap_plan *plan = e->plan;
	struct remap_dropped *dropped = calloc(plan->nr_mappings + 1, sizeof(*dropped));
	int ret = dropped ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < plan->nr_pieces; i++) {
		bool is_done = false;

		if (plan->pieces[i].mapping->is_mapped)
			ret = map_file(e, &plan->pieces[i], &is_done);
		*emptied += is_done;
	}
	if (!ret)
		ret = ccr__remap_drop(plan, &e->in, dropped);
	for (size_t i = 0; !ret && i < plan->nr_mappings; i++) {
		bool is_done = false;

		if (!plan->mappings[i].is_mapped)
			ret = empty(e, &plan->mappings[i], &dropped[i], &is_done);
		*emptied += is_done;
	}
	free(dropped);
	return ret;
}

int ccr__remap_empty(const struct remap_plan *plan, pid_t pid, int fd, size_t *emptied)
{
	struct emptier e = {.plan = plan, .fd = fd, .task_fd = -EBADF};
	int64_t result;
	int ret, ended;

	*emptied = 0;
	ret = ccr__inject_begin(&e.in, pid);
	if (ret == -ENOMEM)
		ccr_warn("%d: host memory is left to CRIU: it may not map two more pages", pid);
	if (ret)
		return ret == -ENOMEM ? -ENOTSUP : ret;
	ret = ccr__inject_close_leftovers(&e.in);
	if (!ret && fd >= 0 && is_any_mapped(plan))
		ret = ccr__inject_fd(&e.in, fd, &e.task_fd);
	if (!ret)
		ret = empty_all(&e, emptied);
	if (!ret && e.task_fd >= 0)
		ret = call(&e, &result, SYS_close, e.task_fd, 0, 0);
	ended = ccr__inject_end(&e.in);
	return ret ? ret : ended;
}
