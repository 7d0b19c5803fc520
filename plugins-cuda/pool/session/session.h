// SPDX-License-Identifier: MIT
/* One run of criu, and its processes. */
#ifndef CCR_POOL_SESSION_H
#define CCR_POOL_SESSION_H

#include "pool/images/load.h"
#include "pool/session/operations.h"

/* An image that this run restores. */
struct wanted {
	struct wanted *next;
	struct load *load;
	bool is_golden;		    /* shared with other restores: copied, never given away */
	struct operation operation; /* listed until a process asks for it */
};

struct session {
	int socket;
	int images_dir;	      /* of the last request that had one, or -1 */
	int fd_backup, pidfd; /* like images_dir */
	int connection;	      /* of the last request only, or -1 */
	struct ccr_status status;
	struct op_process *processes;
	struct wanted *wanted;
};

/* Serves one criu run until it disconnects; closes `socket`. */
void session_run(int socket);

/* Sends an answer; `text` may be NULL. */
void session_reply(const struct session *session, enum ccr_message_type type, uint32_t operation,
		   int result, const char *text);
/* Writes to the status file that the process `pid` of criu has its memory, or why not. */
void session_note_attach(struct session *session, pid_t pid, int result, double ms, double load_ms,
			 const char *reason);

#endif
