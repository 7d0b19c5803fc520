// SPDX-License-Identifier: MIT
/*
 * The relations between processes. The session's thread makes them; the threads that give
 * processes their memory wait for each other here.
 */
#include "pool/session/sharing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol/message.h"
#include "pool/session/op_process.h"

#define EACH(r, sharing) (struct relation *r = (sharing)->all; r; r = r->next)

static struct sharing *sharing_of(const struct op_process *process)
{
	return &process->session->sharing;
}

static pid_t image_of(const struct op_process *process)
{
	return process->load ? process->load->image_pid : process->image_pid;
}

static void changed(struct sharing *sharing)
{
	pthread_cond_broadcast(&sharing->changed);
}

static int add(struct sharing *sharing, const struct relation *relation)
{
	struct relation *added = malloc(sizeof(*added));

	if (!added)
		return -ENOMEM;
	*added = *relation;
	added->next = sharing->all;
	sharing->all = added;
	return 0;
}

int sharing_add(struct session *session, const struct relation *relation)
{
	int ret;

	pthread_mutex_lock(&session->sharing.lock);
	ret = add(&session->sharing, relation);
	pthread_mutex_unlock(&session->sharing.lock);
	return ret;
}

/* --- dump --- */

int sharing_imports(struct op_process *process, struct ccr_image_import **imports, uint32_t *nr)
{
	struct sharing *sharing = sharing_of(process);
	uint32_t room = 0;

	*nr = 0;
	for
		EACH(r, sharing)
	room += r->importer == process;
	*imports = room ? calloc(room, sizeof(**imports)) : NULL;
	if (room && !*imports)
		return -ENOMEM;
	for
		EACH(r, sharing)
	if (r->importer == process)
		(*imports)[(*nr)++] = r->import;
	return 0;
}

int sharing_backup(struct op_process *process)
{
	const int backup = process->session->fd_backup;
	int ret = 0;

	for
		EACH(r, sharing_of(process))
		{
			struct ccr_message message;

			if (backup < 0 || r->importer != process || ret)
				continue;
			ccr_message_init(&message, CCR_MSG_SHARED, process->number);
			message.shared.count = 1;
			message.shared.entry[0] = (struct ccr_wire_shared){
				.id = r->import.id,
				.size = r->import.size,
				.other = r->import.allocation,
				.exporter = r->import.exporter,
				.kind = CCR_SHARED_IMPORT,
			};
			ret = ccr_message_send_waiting(backup, &message, &r->fd, 1, UINT32_MAX);
		}
	return ret;
}

/* --- a new pool --- */

void sharing_reclaim(struct session *session, uint32_t nr_expected, bool is_there)
{
	pthread_mutex_lock(&session->sharing.lock);
	session->sharing.nr_expected = nr_expected;
	session->sharing.nr_arrived += !is_there;
	changed(&session->sharing);
	pthread_mutex_unlock(&session->sharing.lock);
}

int sharing_take_backup(struct op_process *process, const struct ccr_message *message,
			const int *fds)
{
	int ret = 0;

	for (uint32_t i = 0; i < message->shared.count; i++) {
		const struct ccr_wire_shared *wire = &message->shared.entry[i];
		const struct relation relation = {
			.importer_image = process->image_pid,
			.import = {.id = wire->id,
				   .size = wire->size,
				   .allocation = wire->other,
				   .exporter = wire->exporter},
			.fd = fds[i],
		};

		if (!ret)
			ret = sharing_add(process->session, &relation);
		if (ret)
			close(fds[i]);
	}
	return ret;
}

/* --- restore --- */

int sharing_expect(struct session *session, pid_t image_pid, const struct ccr_image_import *imports,
		   uint32_t nr)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < nr; i++)
		ret = sharing_add(session, &(struct relation){.importer_image = image_pid,
							      .import = imports[i],
							      .fd = -1});
	return ret;
}

static bool has_image(const struct session *session, pid_t image_pid)
{
	const struct wanted *wanted = session->wanted;

	while (wanted && wanted->load->image_pid != image_pid)
		wanted = wanted->next;
	return wanted;
}

int sharing_check(struct session *session, char *error, size_t size)
{
	for
		EACH(r, &session->sharing)
		{
			if (has_image(session, (pid_t)r->import.exporter))
				continue;
			snprintf(error, size,
				 "cuda-%d.img has memory of the process with the image "
				 "cuda-%u.img, which "
				 "is missing",
				 r->importer_image, r->import.exporter);
			return -ENODATA;
		}
	return 0;
}

/* --- all --- */

void sharing_arrived(struct op_process *process)
{
	struct sharing *sharing = sharing_of(process);

	pthread_mutex_lock(&sharing->lock);
	sharing->nr_arrived++;
	for
		EACH(r, sharing)
		{
			if (r->importer_image == image_of(process))
				r->importer = process;
			if ((pid_t)r->import.exporter == image_of(process))
				r->exporter = process;
		}
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
}

void sharing_left(struct op_process *process)
{
	struct sharing *sharing = sharing_of(process);

	pthread_mutex_lock(&sharing->lock);
	process->has_left = true;
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
}

void sharing_runs(struct op_process *process)
{
	struct sharing *sharing = sharing_of(process);

	pthread_mutex_lock(&sharing->lock);
	process->has_left = true;
	for
		EACH(r, sharing)
	if (r->exporter == process && !r->is_fresh)
		r->is_broken = true;
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
}

/* Everyone who will get memory is known: those who are not have ended, or have kept theirs. */
static bool are_all_known(const struct op_process *process)
{
	const struct sharing *sharing = sharing_of(process);

	return sharing->is_over || (!process->load && sharing->nr_arrived >= sharing->nr_expected);
}

static bool is_gone(const struct op_process *process)
{
	return process->has_left || process->is_kept;
}

/* An importer has kept its memory, or nobody knows: the exporter must get the same memory back. */
static bool must_map(const struct op_process *process)
{
	for
		EACH(r, sharing_of(process))
	if (!process->load && r->exporter == process && (!r->importer || r->importer->is_kept))
		return true;
	return false;
}

static bool exports(const struct op_process *process)
{
	for
		EACH(r, sharing_of(process))
	if ((pid_t)r->import.exporter == image_of(process))
		return true;
	return false;
}

uint32_t sharing_mode(struct op_process *process, uint32_t mode, bool *shares)
{
	struct sharing *sharing = sharing_of(process);

	*shares = false;
	pthread_mutex_lock(&sharing->lock);
	for
		EACH(r, sharing)
	*shares |= r->importer_image == image_of(process) ||
		   (pid_t)r->import.exporter == image_of(process);
	while (*shares && !process->load && !are_all_known(process))
		pthread_cond_wait(&sharing->changed, &sharing->lock);
	if (*shares && must_map(process)) {
		process->maps_shared = true;
		mode = CCR_ATTACH_MAP;
		changed(sharing);
	} else if (exports(process) && mode == CCR_ATTACH_MAP) {
		/* What was imported from us cannot be exported; the rest may be mapped. */
		mode = CCR_ATTACH_AUTO;
	}
	pthread_mutex_unlock(&sharing->lock);
	return mode;
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

/* Lists what the process exports to others, or has imported. Call it with the lock held. */
static void list(struct exchange *e, bool of_exporter)
{
	e->nr = 0;
	for
		EACH(r, sharing_of(e->process))
		{
			if ((of_exporter ? r->exporter : r->importer) != e->process)
				continue;
			e->relations[e->nr] = r;
			e->ids[e->nr] = of_exporter ? r->import.allocation : r->import.id;
			e->fds[e->nr++] = r->fd;
		}
}

static int export_all(struct exchange *e)
{
	struct sharing *sharing = sharing_of(e->process);
	int ret;

	pthread_mutex_lock(&sharing->lock);
	list(e, true);
	pthread_mutex_unlock(&sharing->lock);
	ret = interceptor_export(e->process->connection, e->process->number, e->ids, e->fds, e->nr,
				 e->error, e->size);
	if (ret)
		return ret;
	pthread_mutex_lock(&sharing->lock);
	for (size_t i = 0; i < e->nr; i++) {
		if (e->relations[i]->fd >= 0)
			close(e->relations[i]->fd);
		e->relations[i]->fd = e->fds[i];
		e->relations[i]->is_fresh = true;
	}
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
	return 0;
}

/* 0: the descriptor is that of the memory; -EAGAIN: not yet; or why there will be none. */
static int is_ready(const struct relation *r)
{
	const struct op_process *exporter = r->exporter;
	const bool has_left =
		exporter ? is_gone(exporter) || exporter->maps_shared : are_all_known(r->importer);

	if (r->is_broken)
		return -ESTALE;
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
		ret = interceptor_place_shared(e->process->connection, e->process->number, e->ids,
					       e->fds, e->nr, e->error, e->size);
	pthread_mutex_lock(&sharing->lock);
	for (size_t i = 0; !ret && i < e->nr; i++)
		e->relations[i]->is_placed = true;
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
	return ret;
}

/* If the pool ends before, the exporter's new memory is gone and all begin again. */
static void wait_for_importers(struct exchange *e)
{
	struct sharing *sharing = sharing_of(e->process);

	pthread_mutex_lock(&sharing->lock);
	list(e, true);
	for (size_t i = 0; i < e->nr; i++) {
		const struct relation *r = e->relations[i];

		while (!sharing->is_over && !r->is_placed && r->importer && !is_gone(r->importer))
			pthread_cond_wait(&sharing->changed, &sharing->lock);
	}
	pthread_mutex_unlock(&sharing->lock);
}

int sharing_exchange(struct op_process *process, char *error, size_t size)
{
	struct exchange e = {.process = process, .error = error, .size = size};
	size_t room = 1;
	int ret = 0;

	for
		EACH(r, sharing_of(process))
	room++;
	e.relations = calloc(room, sizeof(*e.relations));
	e.ids = calloc(room, sizeof(*e.ids));
	e.fds = calloc(room, sizeof(*e.fds));
	if (!e.relations || !e.ids || !e.fds)
		ret = -ENOMEM;
	if (!ret && !process->maps_shared)
		ret = export_all(&e);
	if (!ret)
		ret = import_all(&e);
	if (!ret && !process->maps_shared)
		wait_for_importers(&e);
	free(e.relations);
	free(e.ids);
	free(e.fds);
	return ret;
}

void sharing_end(struct session *session)
{
	pthread_mutex_lock(&session->sharing.lock);
	session->sharing.is_over = true;
	changed(&session->sharing);
	pthread_mutex_unlock(&session->sharing.lock);
}

void sharing_free(struct session *session)
{
	while (session->sharing.all) {
		struct relation *r = session->sharing.all;

		session->sharing.all = r->next;
		if (r->fd >= 0)
			close(r->fd);
		free(r);
	}
}
