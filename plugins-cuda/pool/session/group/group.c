// SPDX-License-Identifier: MIT
#include "pool/session/group/group.h"

#include <errno.h>

#include "pool/session/op_process.h"

static struct group *lock(const struct op_process *process)
{
	struct group *group = &process->session->group;

	pthread_mutex_lock(&group->lock);
	return group;
}

static void unlock(struct group *group)
{
	pthread_cond_broadcast(&group->changed);
	pthread_mutex_unlock(&group->lock);
}

void group_expect(struct op_process *process, uint32_t nr)
{
	struct group *group = lock(process);

	process->has_group = nr > 1;
	if (process->has_group)
		group->nr = nr;
	group->nr_asked += process->has_group;
	process->has_asked = true;
	unlock(group);
}

/* All that gave their memory away and live, when the first of them asks for it. */
static uint32_t nr_waiting(const struct session *session)
{
	uint32_t nr = 0;

	for (const struct op_process *p = session->processes; p; p = p->next)
		nr += p->has_group && !p->is_kept && !p->has_left;
	return nr;
}

void group_expect_back(struct op_process *process)
{
	struct group *group;

	if (!process->has_group)
		return;
	group = lock(process);
	if (!group->is_undo)
		group->nr = nr_waiting(process->session);
	group->is_undo = true;
	group->nr_asked++;
	process->has_asked = true;
	unlock(group);
}

void group_reclaim(struct session *session, struct op_process *process, uint32_t nr)
{
	struct group *group = &session->group;

	pthread_mutex_lock(&group->lock);
	group->nr = nr;
	group->is_undo = true;
	group->nr_asked++;
	if (process)
		process->has_group = process->has_asked = nr > 1;
	group->nr_left += !process;
	group->nr_known += !process;
	unlock(group);
}

bool group_is_open(struct op_process *process, enum ccr_service_state state)
{
	struct group *group;
	bool is_open;

	if (!process->has_group)
		return state == CCR_SERVICE_PLACED;
	group = lock(process);
	process->is_known = true;
	group->nr_known++;
	group->nr_without += state == CCR_SERVICE_EVICTED;
	pthread_cond_broadcast(&group->changed);
	while (state == CCR_SERVICE_PLACED && !group->nr_without && !group->has_failed &&
	       !group->has_end && group->nr_known < group->nr)
		pthread_cond_wait(&group->changed, &group->lock);
	is_open = state == CCR_SERVICE_PLACED && !group->nr_without;
	unlock(group);
	return is_open;
}

int group_wait(struct op_process *process)
{
	struct group *group;
	int ret;

	if (!process->has_group)
		return 0;
	group = lock(process);
	group->nr_placed++;
	pthread_cond_broadcast(&group->changed);
	while (!group->has_failed && !group->has_end &&
	       group->nr_placed + group->nr_left < group->nr)
		pthread_cond_wait(&group->changed, &group->lock);
	/* Once all have been placed, a later failure is that of one process. */
	ret = group->is_undo || group->nr_placed >= group->nr ? 0 : -ECANCELED;
	unlock(group);
	return ret;
}

void group_leave(struct op_process *process)
{
	struct group *group;

	if (!process->has_group)
		return;
	group = lock(process);
	group->nr_left++;
	group->nr_known += !process->is_known;
	group->nr_asked += !process->has_asked;
	group->has_failed |= !group->is_undo;
	process->has_group = false;
	unlock(group);
}

void group_ended(struct op_process *process)
{
	if (process->session->group.is_undo && !process->has_thread && !process->is_kept)
		group_leave(process);
}

bool group_is_complete(struct session *session)
{
	struct group *group = &session->group;
	bool is_complete;

	pthread_mutex_lock(&group->lock);
	is_complete = group->nr && group->nr_asked >= group->nr;
	pthread_mutex_unlock(&group->lock);
	return is_complete;
}

void group_end(struct session *session)
{
	struct group *group = &session->group;

	pthread_mutex_lock(&group->lock);
	group->has_end = true;
	unlock(group);
}
