// SPDX-License-Identifier: MIT
/* A process of an operation: its memory on the way out or back in. */
#ifndef CCR_POOL_OP_PROCESS_H
#define CCR_POOL_OP_PROCESS_H

#include "pool/images/load.h"
#include "pool/images/save.h"
#include "pool/session/interceptor.h"
#include "pool/session/session.h"

/* Memory of one process, on its way out or back in. */
struct op_process {
	struct op_process *next;
	struct session *session;
	pid_t pid, peer_pid, image_pid; /* as criu, as this process, as the application sees it */
	int pidfd;
	struct op_socket op_socket;
	struct held_list list; /* evicted memory, kept until commit or roll back */
	struct save *save;     /* of it, while it goes to files */
	bool is_saved, is_refused;
	pthread_mutex_t evicting; /* until the answer to the request is sent */
	struct load *load;	  /* or an image on its way in */
	enum ccr_attach_mode mode;
	bool is_again; /* another pool may have given it already */
	double wait_ms;
	pthread_t thread;
	bool has_thread; /* that gives memory back */
	atomic_bool is_given;
	int given; /* once is_given: the answer that was sent */
};

/*
 * A record for the process of the session's pidfd, with a socket of its own. NULL when it is
 * gone, or in no PID namespace below ours, or the run directory has no room.
 */
struct op_process *op_process_new(struct session *session, pid_t pid);
struct op_process *op_process_find(const struct session *session, uint32_t operation);
/* The conversation up to DONE, then the save goes on by itself and answers OP_RESULT. */
void op_process_evict(struct op_process *process, const struct ccr_message *request);
/* Waits for the process in a thread, gives it all of its memory and answers OP_GIVEN. 0 or -errno.
 */
int op_process_give(struct op_process *process);
/* The process is gone: the memory is dropped, or kept for the next restore. */
void op_process_commit(struct op_process *process, bool hold);
/* Answers a second request to give the memory back; the thread does while it is at it. */
void op_process_again(const struct op_process *process);
/* Nobody will ask for its memory any more: the process cannot go on without it. */
void op_process_abandon(const struct op_process *process);
void op_process_free(struct op_process *process);

#endif
