// SPDX-License-Identifier: MIT
/*
 * The processes of a session that get their memory together: the gates of all stay closed
 * until the memory of the last one is placed. If one of them cannot have it, none runs.
 */
#ifndef CCR_POOL_GROUP_H
#define CCR_POOL_GROUP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct op_process;
struct session;

struct group {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t nr, nr_asked,
		nr_placed; /* expected, asked for, and those that have their memory */
	bool has_failed;
};
#define GROUP_INITIALIZER                                                           \
	{                                                                           \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, false \
	}

/* The request for the memory of a process says how many belong together; 0: it is alone. */
void group_expect(struct op_process *process, uint32_t nr);
/* Its memory is placed. Waits for the others. Returns 0, or -ECANCELED when one has failed. */
int group_wait(struct op_process *process);
/* It does not get its memory: nor do the others. Does nothing to a process that is alone. */
void group_fail(struct op_process *process);
/* All have been asked for: their threads need nothing more from the session. */
bool group_is_complete(const struct session *session);
/* Nobody asks for the others any more: who waits for them has failed. */
void group_end(struct session *session);

#endif
