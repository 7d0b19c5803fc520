// SPDX-License-Identifier: MIT
#include "pool/session/group.h"

#include <errno.h>

#include "pool/session/op_process.h"

void group_expect(struct op_process *process, uint32_t nr)
{
	struct group *group = &process->session->group;

	pthread_mutex_lock(&group->lock);
	process->has_group = nr > 1;
	if (process->has_group)
		group->nr = nr;
	group->nr_asked += process->has_group;
	pthread_mutex_unlock(&group->lock);
}

int group_wait(struct op_process *process)
{
	struct group *group = &process->session->group;
	int ret;

	if (!process->has_group)
		return 0;
	pthread_mutex_lock(&group->lock);
	group->nr_placed++;
	pthread_cond_broadcast(&group->changed);
	while (!group->has_failed && group->nr_placed < group->nr)
		pthread_cond_wait(&group->changed, &group->lock);
	/* Once all have been placed, a later failure is that of one process. */
	ret = group->nr_placed < group->nr ? -ECANCELED : 0;
	pthread_mutex_unlock(&group->lock);
	return ret;
}

static void fail(struct group *group)
{
	pthread_mutex_lock(&group->lock);
	group->has_failed = true;
	pthread_cond_broadcast(&group->changed);
	pthread_mutex_unlock(&group->lock);
}

void group_fail(struct op_process *process)
{
	if (process->has_group)
		fail(&process->session->group);
}

bool group_is_complete(const struct session *session)
{
	const struct group *group = &session->group;

	return group->nr && group->nr_asked >= group->nr;
}

void group_end(struct session *session)
{
	fail(&session->group);
}
