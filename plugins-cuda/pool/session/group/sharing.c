// SPDX-License-Identifier: MIT
/*
 * The relations between processes. The session's thread makes them; the threads that give
 * processes their memory wait for each other here.
 */
#include "pool/session/group/sharing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol/message.h"
#include "pool/session/op_process.h"

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
	for (struct relation *r = sharing->all; r; r = r->next)
		room += r->importer == process;
	*imports = room ? calloc(room, sizeof(**imports)) : NULL;
	if (room && !*imports)
		return -ENOMEM;
	for (struct relation *r = sharing->all; r; r = r->next)
		if (r->importer == process)
			(*imports)[(*nr)++] = r->import;
	return 0;
}

/* Once for the importer and once for the exporter: another pool may be asked about one of them. */
static int backup_one(struct session *session, const struct relation *r, bool of_exporter)
{
	const struct op_process *of = of_exporter ? r->exporter : r->importer;
	struct ccr_message message;

	ccr_message_init(&message, CCR_MSG_SHARED, of->number);
	message.shared.count = 1;
	message.shared.entry[0] = (struct ccr_wire_shared){
		.id = r->import.id,
		.size = r->import.size,
		.other = r->import.allocation,
		.importer = r->importer_image,
		.exporter = r->import.exporter,
		.kind = of_exporter ? CCR_SHARED_EXPORT : CCR_SHARED_IMPORT,
	};
	return ccr_message_send_waiting(session->fd_backup, &message, &r->fd, 1, UINT32_MAX);
}

int sharing_backup(struct session *session)
{
	int ret = 0;

	for (struct relation *r = session->sharing.all; r; r = r->next) {
		if (!ret && session->fd_backup >= 0)
			ret = backup_one(session, r, true);
		if (!ret && session->fd_backup >= 0)
			ret = backup_one(session, r, false);
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

static bool is_listed(const struct sharing *sharing, const struct ccr_wire_shared *wire)
{
	for (struct relation *r = sharing->all; r; r = r->next)
		if (r->importer_image == (pid_t)wire->importer && r->import.id == wire->id)
			return true;
	return false;
}

int sharing_take_backup(struct op_process *process, const struct ccr_message *message,
			const int *fds)
{
	int ret = 0;

	for (uint32_t i = 0; i < message->shared.count; i++) {
		const struct ccr_wire_shared *wire = &message->shared.entry[i];
		const struct relation relation = {
			.importer_image = wire->importer,
			.import = {.id = wire->id,
				   .size = wire->size,
				   .allocation = wire->other,
				   .exporter = wire->exporter},
			.fd = fds[i],
		};
		const bool is_new = !ret && !is_listed(sharing_of(process), wire);

		if (is_new)
			ret = sharing_add(process->session, &relation);
		if (ret || !is_new)
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
	for (struct relation *r = session->sharing.all; r; r = r->next) {
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
	for (struct relation *r = sharing->all; r; r = r->next) {
		if (r->importer_image == image_of(process))
			r->importer = process;
		if ((pid_t)r->import.exporter == image_of(process))
			r->exporter = process;
	}
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
}

bool sharing_left(struct op_process *process)
{
	struct sharing *sharing = sharing_of(process);
	bool was_known;

	pthread_mutex_lock(&sharing->lock);
	was_known = process->has_left;
	process->has_left = true;
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
	return was_known;
}

void sharing_note_state(struct op_process *process, bool has_memory)
{
	struct sharing *sharing = sharing_of(process);

	pthread_mutex_lock(&sharing->lock);
	process->state = has_memory ? MEMBER_HAS_MEMORY : MEMBER_WAITS;
	changed(sharing);
	pthread_mutex_unlock(&sharing->lock);
}

/* Everyone who will get memory is known: those who are not have ended, or have kept theirs. */
bool sharing_is_complete(const struct op_process *process)
{
	const struct sharing *sharing = sharing_of(process);

	return sharing->is_over || (!process->load && sharing->nr_arrived >= sharing->nr_expected);
}

bool sharing_is_gone(const struct op_process *process)
{
	return process->has_left || process->is_kept;
}

/* Whether an importer needs memory, or has it, is not known before its thread has said so. */
static bool is_undecided(const struct op_process *process)
{
	if (process->load)
		return false;
	if (!sharing_is_complete(process))
		return true;
	for (struct relation *r = sharing_of(process)->all; r; r = r->next)
		if (r->exporter == process && r->importer && !sharing_is_gone(r->importer) &&
		    r->importer->state == MEMBER_UNKNOWN)
			return !sharing_of(process)->is_over;
	return false;
}

/* An importer has kept its memory, or nobody knows: the exporter must get the same memory back. */
static bool must_map(const struct op_process *process)
{
	for (struct relation *r = sharing_of(process)->all; r; r = r->next) {
		if (process->load || r->exporter != process)
			continue;
		if (!r->importer || r->importer->is_kept || r->importer->state == MEMBER_HAS_MEMORY)
			return true;
	}
	return false;
}

static bool exports(const struct op_process *process)
{
	for (struct relation *r = sharing_of(process)->all; r; r = r->next)
		if ((pid_t)r->import.exporter == image_of(process))
			return true;
	return false;
}

uint32_t sharing_mode(struct op_process *process, uint32_t mode, bool *shares)
{
	struct sharing *sharing = sharing_of(process);

	*shares = false;
	pthread_mutex_lock(&sharing->lock);
	for (struct relation *r = sharing->all; r; r = r->next)
		*shares |= r->importer_image == image_of(process) ||
			   (pid_t)r->import.exporter == image_of(process);
	while (*shares && is_undecided(process))
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
