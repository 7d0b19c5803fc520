// SPDX-License-Identifier: MIT
/* One run of criu, and its processes. */
#ifndef CCR_POOL_SESSION_H
#define CCR_POOL_SESSION_H

#include "pool/images/load.h"
#include "pool/session/group/group.h"
#include "pool/session/operations.h"
#include "pool/session/group/sharing.h"

/* An image that this run restores. */
struct wanted {
	struct wanted *next;
	struct load *load;
	bool is_resident;	    /* it was in device memory before this run */
	bool is_golden;		    /* shared with other restores: copied, never given away */
	struct operation operation; /* listed until a process asks for it */
};

struct session {
	int socket;
	int images_dir;	      /* of the last request that had one, or -1 */
	int fd_backup, pidfd; /* like images_dir */
	int earlier;	      /* like images_dir: that of an earlier image */
	int connection;	      /* of the last request only, or -1 */
	struct ccr_status status;
	struct op_process *processes;
	struct wanted *wanted;
	struct op_store *stores; /* what the driver hands over; op_store.c owns them */
	struct group group;
	struct sharing sharing;
};

/* Serves one criu run until it disconnects; closes `socket`. */
void session_run(int socket);

/* Sends an answer; `text` may be NULL. */
void session_reply(const struct session *session, enum ccr_message_type type, uint32_t operation,
		   int result, const char *text);
/* The options that a request has for a copy. */
struct copy_options session_copy_options(const struct ccr_message *request);

/* The memory of a process that was moved, or is to be. */
struct moved {
	pid_t pid; /* as criu sees it */
	int result;
	size_t allocations;
	bool is_storage; /* the driver has handed the memory over */
	uint64_t bytes;
	const char *source;		    /* of an attach: files, resident, golden, or held */
	const struct copy_options *options; /* what the request asked for; NULL: no copy */
	const struct copy_progress *copied;
	double wait_ms, copy_ms; /* of an attach: until it has its memory, until it was loaded */
	const char *reason;
};
/* Write to the status file that memory of a process was saved, or is in the process, or why not. */
void session_note_evict(const struct session *session, const struct moved *moved);
/* The same for the steps of a copy that has ended. */
void session_note_copy(const struct session *session, pid_t pid,
		       const struct copy_progress *copied);
void session_note_attach(const struct session *session, const struct moved *moved);

#endif
