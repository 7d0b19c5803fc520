// SPDX-License-Identifier: MIT
/* The steps in which processes get the memory that they share, on the thread of each. */
#include "pool/session/group/sharing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/session/op_process.h"

static struct sharing *sharing_of(const struct op_process *process)
{
	return &process->session->sharing;
}

static void changed(struct sharing *sharing)
{
	pthread_cond_broadcast(&sharing->changed);
}

struct exchange {
	struct op_process *process;
	struct relation **relations;
	uint64_t *ids;
	int *fds;
	size_t nr;
	char *error;
	size_t size;
};

static int begin(struct exchange *e, struct op_process *process, char *error, size_t size)
{
	struct sharing *sharing = sharing_of(process);
	size_t room = 1;

	pthread_mutex_lock(&sharing->lock);
	for (struct relation *r = sharing->all; r; r = r->next)
		room++;
	pthread_mutex_unlock(&sharing->lock);
	*e = (struct exchange){.process = process, .error = error, .size = size};
	e->relations = calloc(room, sizeof(struct relation *));
	e->ids = calloc(room, sizeof(*e->ids));
	e->fds = calloc(room, sizeof(*e->fds));
	return e->relations && e->ids && e->fds ? 0 : -ENOMEM;
}

static void end(struct exchange *e)
{
	free(e->relations);
	free(e->ids);
	free(e->fds);
}

/* Lists what the process exports to others, or has imported. Call it with the lock held. */
static void list(struct exchange *e, bool of_exporter)
{
	e->nr = 0;
	for (struct relation *r = sharing_of(e->process)->all; r; r = r->next) {
		if ((of_exporter ? r->exporter : r->importer) != e->process)
			continue;
		e->relations[e->nr] = r;
		e->ids[e->nr] = of_exporter ? r->import.allocation : r->import.id;
		e->fds[e->nr++] = r->fd;
	}
}

static int by_allocation(const void *a, const void *b)
{
	const struct relation *const *x = a, *const *y = b;

	return ((*x)->import.allocation > (*y)->import.allocation) -
	       ((*x)->import.allocation < (*y)->import.allocation);
}

/* Each allocation once, although several may import it: they get the same open file. */
static size_t list_allocations(struct exchange *e)
{
	size_t nr = 0;

	list(e, true);
	qsort(e->relations, e->nr, sizeof(struct relation *), by_allocation);
	for (size_t i = 0; i < e->nr; i++)
		if (!nr || e->ids[nr - 1] != e->relations[i]->import.allocation)
			e->ids[nr++] = e->relations[i]->import.allocation;
	return nr;
}

/* Keeps the descriptors of the new memory. Call it with the lock held. */
static int publish(struct exchange *e, size_t nr)
{
	size_t at = 0;
	int ret = 0;

	for (size_t i = 0; i < e->nr; i++) {
		struct relation *r = e->relations[i];

		at += e->ids[at] != r->import.allocation;
		if (r->fd >= 0)
			close(r->fd);
		r->fd = fcntl(e->fds[at], F_DUPFD_CLOEXEC, 0);
		if (r->fd < 0)
			ret = -errno;
		r->is_fresh = r->fd >= 0;
	}
	for (size_t i = 0; i < nr; i++)
		close(e->fds[i]);
	return ret;
}

static int export_all(struct exchange *e)
{
	struct sharing *sharing = sharing_of(e->process);
	size_t nr;
	int ret;

	pthread_mutex_lock(&sharing->lock);
	nr = list_allocations(e);
	pthread_mutex_unlock(&sharing->lock);
	ret = interceptor_export(e->process->connection, e->process->number, e->ids, e->fds, nr,
				 e->error, e->size);
	if (ret)
		return ret;
	pthread_mutex_lock(&sharing->lock);
	ret = publish(e, nr);
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
	if (ret)
		snprintf(e->error, e->size, "cannot keep a descriptor: %s", strerror(-ret));
	return ret;
}

int sharing_export_running(struct op_process *process, char *error, size_t size)
{
	struct exchange e;
	int ret = begin(&e, process, error, size);

	if (!ret)
		ret = export_all(&e);
	end(&e);
	return ret;
}

/* It has the memory that it had before: the importers' files are still right. */
static int keep_files(struct exchange *e)
{
	struct sharing *sharing = sharing_of(e->process);

	pthread_mutex_lock(&sharing->lock);
	list(e, true);
	pthread_mutex_unlock(&sharing->lock);
	return interceptor_place_shared(e->process->connection, e->process->number,
					CCR_SHARED_EXPORT, e->ids, e->fds, e->nr, e->error,
					e->size);
}

/* 0: the descriptor is that of the memory; -EAGAIN: not yet; or why there will be none. */
static int is_ready(const struct relation *r)
{
	const struct op_process *exporter = r->exporter;
	const bool has_left = exporter ? sharing_is_gone(exporter) || exporter->maps_shared
				       : sharing_is_complete(r->importer);

	if (r->is_fresh)
		return 0;
	if (has_left)
		return r->fd >= 0 ? 0 : -ENODATA;
	return sharing_of(r->importer)->is_over ? -ECANCELED : -EAGAIN;
}

static int wait_for_exporters(struct exchange *e)
{
	struct sharing *sharing = sharing_of(e->process);
	int ret = 0;

	pthread_mutex_lock(&sharing->lock);
	list(e, false);
	for (size_t i = 0; !ret && i < e->nr; i++) {
		while ((ret = is_ready(e->relations[i])) == -EAGAIN)
			pthread_cond_wait(&sharing->changed, &sharing->lock);
		if (ret)
			snprintf(e->error, e->size,
				 "the process with the image cuda-%u.img does not give the memory "
				 "that this one has imported",
				 e->relations[i]->import.exporter);
	}
	list(e, false);
	pthread_mutex_unlock(&sharing->lock);
	return ret;
}

static int import_all(struct exchange *e)
{
	struct sharing *sharing = sharing_of(e->process);
	int ret = wait_for_exporters(e);

	if (!ret && e->nr)
		ret = interceptor_place_shared(e->process->connection, e->process->number,
					       CCR_SHARED_IMPORT, e->ids, e->fds, e->nr, e->error,
					       e->size);
	pthread_mutex_lock(&sharing->lock);
	for (size_t i = 0; !ret && i < e->nr; i++)
		e->relations[i]->is_placed = true;
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
	return ret;
}

/* If the pool ends before, the exporter's new memory is gone and all begin again. */
static int wait_for_importers(struct exchange *e)
{
	struct sharing *sharing = sharing_of(e->process);
	int ret = 0;

	pthread_mutex_lock(&sharing->lock);
	list(e, true);
	for (size_t i = 0; !ret && i < e->nr; i++) {
		const struct relation *r = e->relations[i];

		while (!sharing->is_over && !r->is_placed && r->importer &&
		       !sharing_is_gone(r->importer) && r->importer->state != MEMBER_HAS_MEMORY)
			pthread_cond_wait(&sharing->changed, &sharing->lock);
		/* Another pool has opened its gate, and died before it opened ours. */
		if (!r->is_placed && r->importer && r->importer->state == MEMBER_HAS_MEMORY)
			ret = -ESTALE;
		if (ret)
			snprintf(e->error, e->size,
				 "%d runs with memory of this process that is no longer the same",
				 r->importer->pid);
	}
	pthread_mutex_unlock(&sharing->lock);
	return ret;
}

int sharing_exchange(struct op_process *process, char *error, size_t size)
{
	struct exchange e;
	int ret = begin(&e, process, error, size);

	if (!ret)
		ret = process->maps_shared ? keep_files(&e) : export_all(&e);
	if (!ret)
		ret = import_all(&e);
	if (!ret && !process->maps_shared)
		ret = wait_for_importers(&e);
	end(&e);
	return ret;
}
