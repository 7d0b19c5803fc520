// SPDX-License-Identifier: MIT
/* One run of criu, and its processes. */
#ifndef CCR_POOL_SESSION_H
#define CCR_POOL_SESSION_H

#include "pool/images/copy.h"

/* An image that this run restores. */
struct wanted {
	struct wanted *next;
	struct load *load;
	bool is_golden; /* others use it too: it is copied, never given away */
};

struct session {
	int socket;
	int images_dir;	  /* of the last request that named one, -1 before */
	int vault, pidfd; /* the same */
	struct ccr_status status;
	struct part *parts;
	struct wanted *wanted;
};

/* Memory of one process, on its way out or back in. */
struct part {
	struct part *next;
	struct session *session;
	pid_t pid, peer_pid, image_pid; /* as criu, as this process, as the application sees it */
	int pidfd;
	struct service_door door;
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

/* Sends an answer; `text` may be NULL. */
void session_reply(const struct session *session, enum ccr_message_type type, uint32_t operation,
		   int result, const char *text);

/*
 * A part for the process of the session's pidfd, with an open door. NULL when it is
 * gone, or in no PID namespace below ours, or the run directory has no room.
 */
struct part *part_new(struct session *session, pid_t pid);
struct part *part_find(const struct session *session, uint32_t operation);
/* The conversation up to DONE, then the save goes on by itself and answers OP_RESULT. */
void part_evict(struct part *part, const struct ccr_message *request);
/* Waits for the process in a thread, gives it all of its memory and answers OP_GIVEN. 0 or -errno.
 */
int part_give(struct part *part);
/* The process is gone: the memory is dropped, or kept for the next restore. */
void part_commit(struct part *part, bool hold);
/* Answers a second request to give the memory back; the thread does while it is at it. */
void part_again(const struct part *part);
/* Nobody will ask for its memory any more: the process cannot go on without it. */
void part_desert(const struct part *part);
void part_free(struct part *part);

#endif
