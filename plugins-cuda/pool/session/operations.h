// SPDX-License-Identifier: MIT
/*
 * The operations in progress: one record for each process whose memory is
 * moved, and for each image that a restore has started to load. A session owns
 * its records. The lock of operations.c guards the list and the state of each
 * record; threads that copy never take it, they store their progress atomically.
 */
#ifndef CCR_POOL_OPERATIONS_H
#define CCR_POOL_OPERATIONS_H

#include <stdio.h>

#include "pool/images/engine.h"

enum operation_state {
	OPERATION_LOADING,   /* restore: the image is loaded, or waits for the process */
	OPERATION_EVICTING,  /* dump: the process hands its memory over */
	OPERATION_SAVING,    /* dump: the memory is written to files */
	OPERATION_HELD,	     /* dump: saved, and kept until criu ends */
	OPERATION_ATTACHING, /* restore: the process takes its memory */
	OPERATION_RETURNING, /* dump: the process gets its memory back */
	OPERATION_FAILED,    /* dump: not saved, and kept until it is returned */
};

struct operation {
	struct operation *next;
	bool is_listed, is_restore;
	uint32_t number; /* 0 until a process asks for the image */
	pid_t pid;	 /* as this program sees it; 0 until a process asks for the image */
	pid_t image_pid; /* in the name of the image; 0 when unknown */
	pid_t criu;	 /* the criu, or its watcher, that sent the first request */
	enum operation_state state;
	const struct copy_progress *progress; /* must be valid while the record is listed */
};

/* Lists a record. End it before you free it or its progress. */
void operation_begin(struct operation *operation, enum operation_state state);
/* Sets the state of a listed record; does nothing to another one. */
void operation_change(struct operation *operation, enum operation_state state);
/* Removes a record from the list, if it is listed. */
void operation_end(struct operation *operation);
/* Prints the list as a JSON array. */
void operations_print(FILE *out);

#endif
