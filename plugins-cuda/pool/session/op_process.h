// SPDX-License-Identifier: MIT
/* A process whose memory an operation evicts or returns. */
#ifndef CCR_POOL_OP_PROCESS_H
#define CCR_POOL_OP_PROCESS_H

#include "pool/images/load.h"
#include "pool/images/save.h"
#include "pool/session/interceptor.h"
#include "pool/session/operations.h"
#include "pool/session/session.h"

/* One process of an operation, and its memory. */
struct op_process {
	struct op_process *next;
	struct session *session;
	uint32_t number;
	pid_t pid, own_pid,
		image_pid; /* as criu, this program (0: not at all), the application see it */
	int pidfd;
	int connection;			  /* to its service thread, or -1 */
	struct held_list list;		  /* evicted memory, kept until commit or rollback */
	struct save *save;		  /* while `list` is written to files */
	struct copy_options options;	  /* of the save */
	uint32_t protocol;		  /* of its interceptor */
	struct ccr_image_import *imports; /* that its image has; NULL: none */
	bool is_saved, is_refused;
	bool is_kept;		  /* the evict was refused before the process released anything */
	bool is_member;		  /* OP_JOIN: of the group that OP_QUIESCE is about */
	bool is_quiet;		  /* its gate is closed until `connection` ends */
	pthread_mutex_t evicting; /* locked until the request was answered */
	struct load *load;	  /* or the image to restore from */
	const char *source;	  /* where `load` comes from; see struct moved */
	enum ccr_attach_mode mode;
	bool is_again; /* it may have its memory already, which is not an error then */
	double wait_ms;
	pthread_t thread;
	bool has_thread;	    /* it returns the memory */
	bool has_left, maps_shared; /* see sharing.h */
	enum member_state state;
	bool has_group, has_asked, is_known; /* together with others; see group.h */
	atomic_bool is_given;
	int given; /* the result that was sent, once is_given */
	struct operation operation;
	struct copy_progress copied; /* how far `save` is */
};

/*
 * Adds a record for the process of the session's pidfd, and takes its connection.
 * NULL when the process is gone or the request is not complete. The session frees it.
 */
struct op_process *op_process_new(struct session *session, const struct ccr_message *request);
struct op_process *op_process_find(const struct session *session, uint32_t operation);
/* Takes the memory over (up to DONE). The save continues in a thread and answers OP_RESULT. */
void op_process_evict(struct op_process *process, const struct ccr_message *request);
/* Replaces the connection to the service thread by the one that came with a request, if any. */
void op_process_connect(struct op_process *process);
/* Starts a thread that gives the process its memory and answers OP_GIVEN. Returns 0 or -errno. */
int op_process_give(struct op_process *process, const struct ccr_message *request);
/* The process is gone: drops its memory, or keeps it for the next restore. */
void op_process_commit(struct op_process *process, bool hold);
/* Answers a repeated request to return the memory, unless the thread is still going to. */
void op_process_again(const struct op_process *process);
/* The same of OP_RECLAIM: the list that arrives again is dropped. What was refused stays so: no
 * thread is going to answer. */
void op_process_reclaimed_again(struct op_process *process, uint32_t timeout_ms);
/* Kills a process whose memory no one can ask for any more. */
void op_process_abandon(const struct op_process *process);
void op_process_free(struct op_process *process);
/* Removes it from its session, too. */
void op_process_forget(struct op_process *process);
/* The gate of a quiet process opens: it was not asked for its memory. */
void op_process_open(struct op_process *process);

/* For op_process.c and op_process_give.c. Lists the operation, or changes its state. */
void op_process_list(struct op_process *process, const struct ccr_message *request,
		     enum operation_state state);
/* Afterwards the list is unmapped, as it was received, and no other thread uses it. */
void op_process_end_save(struct op_process *process);
void op_process_disconnect(struct op_process *process);

#endif
