// SPDX-License-Identifier: MIT
/*
 * The processes of a session that get their memory together: the gates of all stay closed
 * until the memory of the last one is placed. At a restore, none runs if one of them cannot
 * have it; when a dump is undone, the others run on without that one.
 */
#ifndef CCR_POOL_GROUP_H
#define CCR_POOL_GROUP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/protocol/protocol.h"

struct op_process;
struct session;

struct group {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t nr;			   /* expected */
	uint32_t nr_asked;		   /* for their memory, or will not */
	uint32_t nr_placed;		   /* that have it */
	uint32_t nr_known, nr_without;	   /* whose threads have said HELLO; without memory */
	uint32_t nr_left;		   /* undo: they need no memory any more */
	bool is_undo, has_failed, has_end; /* has_end: nobody asks any more */
};
#define GROUP_INITIALIZER                                                                     \
	{                                                                                     \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0, 0, 0, false, \
			false, false                                                          \
	}

/* A restore: the request for the memory of a process says how many belong together; 0: it is alone.
 */
void group_expect(struct op_process *process, uint32_t nr);
/* The undo of a dump, for a process whose gate was closed together with others. */
void group_expect_back(struct op_process *process);
/* The same in another pool, which is told how many there are. NULL: one has ended. */
void group_reclaim(struct session *session, struct op_process *process, uint32_t nr);
/*
 * Its thread has said HELLO. Returns true if its gate just has to be opened: its memory is placed,
 * and no other process is without. Waits for the others until that is known.
 */
bool group_is_open(struct op_process *process, enum ccr_service_state state);
/* Its memory is placed. Waits for the others. Returns 0, or -ECANCELED when one has failed. */
int group_wait(struct op_process *process);
/* It does not get its memory. Does nothing to a process that is alone. */
void group_leave(struct op_process *process);
/* It will not ask for its memory: it has ended. If the others wait for it, they do without it. */
void group_ended(struct op_process *process);
/* All have been asked for: their threads need nothing more from the session. */
bool group_is_complete(struct session *session);
/* Nobody asks for the others any more: who waits for them has failed, or does without them. */
void group_end(struct session *session);

#endif
