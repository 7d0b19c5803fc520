// SPDX-License-Identifier: MIT
/*
 * Which import of one process is which export of another: both have the same open file. The
 * kernel orders open files (kcmp), so exports are sorted and imports are looked up.
 */
#include "pool/session/group/sharing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/session/op_process.h"

struct shared {
	struct op_process *process;
	struct ccr_wire_shared wire;
	int fd;
};

struct match {
	struct op_process *process; /* that is asked at the moment */
	struct shared *all;
	size_t nr, room;
};

static int take(void *argument, const struct ccr_wire_shared *wire, int fd)
{
	struct match *m = argument;

	if (m->nr == m->room) {
		const size_t room = m->room ? 2 * m->room : 64;
		struct shared *all = realloc(m->all, room * sizeof(*all));

		if (!all) {
			close(fd);
			return -ENOMEM;
		}
		m->all = all;
		m->room = room;
	}
	m->all[m->nr++] = (struct shared){m->process, *wire, fd};
	return 0;
}

/* Order of open files; 0: the same one. What the kernel cannot compare is sorted by number. */
static int compare_files(int a, int b)
{
	const int file = 0; /* KCMP_FILE */
	const long order = a == b ? 0 : syscall(SYS_kcmp, getpid(), getpid(), file, a, b);

	return order == 0 ? 0 : order == 1 ? -1 : order == 2 ? 1 : a < b ? -1 : 1;
}

/* Exports first, in the order of their files. */
static int compare(const void *a, const void *b)
{
	const struct shared *x = a, *y = b;

	if (x->wire.kind != y->wire.kind)
		return x->wire.kind == CCR_SHARED_EXPORT ? -1 : 1;
	return compare_files(x->fd, y->fd);
}

static const struct shared *find_export(const struct match *m, size_t nr_exports, int fd)
{
	size_t low = 0, high = nr_exports;

	while (low < high) {
		const size_t middle = (low + high) / 2;
		const int order = compare_files(m->all[middle].fd, fd);

		if (!order)
			return &m->all[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int relate(struct match *m, struct shared *import, const struct shared *export)
{
	const struct relation relation = {
		.importer = import->process,
		.exporter = export->process,
		.importer_image = import->process->image_pid,
		.import = {.id = import->wire.id,
			   .size = import->wire.size,
			   .allocation = export->wire.id,
			   .exporter = export->process->image_pid},
		.fd = import->fd,
	};
	const int ret = sharing_add(import->process->session, &relation);

	(void)m;
	if (!ret)
		import->fd = -1;
	return ret;
}

static int match_all(struct match *m, char *error, size_t size)
{
	size_t nr_exports = 0;
	int ret = 0;

	if (m->nr)
		qsort(m->all, m->nr, sizeof(*m->all), compare);
	while (nr_exports < m->nr && m->all[nr_exports].wire.kind == CCR_SHARED_EXPORT)
		nr_exports++;
	for (size_t i = nr_exports; !ret && i < m->nr; i++) {
		struct shared *import = &m->all[i];
		const struct shared *export = find_export(m, nr_exports, import->fd);

		ret = export ? relate(m, import, export) : -EXDEV;
		if (!export)
			snprintf(error, size,
				 "%d maps %llu bytes at 0x%llx that belong to a process which is "
				 "not dumped with it; dump both as one tree, or let it close what "
				 "it has imported",
				 import->process->pid, (unsigned long long)import->wire.size,
				 (unsigned long long)import->wire.address);
	}
	return ret;
}

int sharing_find(struct session *session, uint32_t timeout_ms, char *error, size_t size)
{
	struct match m = {.nr = 0};
	char why[320] = "";
	int ret = 0;

	for (struct op_process *p = session->processes; !ret && p; p = p->next) {
		if (!p->is_member)
			continue;
		m.process = p;
		ret = interceptor_list_shared(p->connection, p->number, timeout_ms, take, &m, why,
					      sizeof(why));
		if (ret)
			snprintf(error, size, "%d: %s", p->pid, why);
	}
	if (!ret)
		ret = match_all(&m, error, size);
	for (size_t i = 0; i < m.nr; i++)
		if (m.all[i].fd >= 0)
			close(m.all[i].fd);
	free(m.all);
	if (ret)
		sharing_free(session);
	return ret;
}
