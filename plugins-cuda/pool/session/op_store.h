// SPDX-License-Identifier: MIT
/* A process whose memory the driver hands over: OP_STORE and OP_UNSTORE. */
#ifndef CCR_POOL_OP_STORE_H
#define CCR_POOL_OP_STORE_H

#include "pool/images/store.h"
#include "pool/session/session.h"

struct op_store {
	struct op_store *next;
	struct session *session;
	uint32_t number;
	pid_t pid, own_pid, image_pid; /* as criu, this program, the application see it */
	int pidfd, images_dir;
	struct copy_options options;
	struct copy_progress copied;
	struct operation operation;
	struct storage storage;
	struct kept kept;
	struct ccr_image *image; /* while its files are needed */
	struct load *load;	 /* its image was prefetched; NULL: it is read from the files */
	bool is_golden;		 /* so others use `load` as well */
	bool is_copied;		 /* the memory is in the image, or in `kept` */
	bool is_undoing;	 /* OP_UNSTORE of an OP_STORE */
	pthread_t thread;
	bool has_thread;
	atomic_bool has_ended;
	double driver_ms, copy_start, copy_ms; /* the start on the monotonic clock, in ms */
};

/* Both answer OP_READY, and OP_RESULT from a thread; or OP_RESULT with the reason at once. */
void op_store(struct session *session, const struct ccr_message *request);
void op_unstore(struct session *session, const struct ccr_message *request);
/*
 * Before a restore, for an image whose memory the driver takes: starts a thread that makes
 * everything ready which does not need the process; or, with a resident image, of which it takes
 * the reference, keeps that for OP_UNSTORE.
 */
void op_store_expect(struct session *session, pid_t image_pid, const struct copy_options *options,
		     struct load *load, bool is_golden);
/* Waits for all of them, as far as the driver returns, and frees them. */
void op_store_free_all(struct session *session);

/*
 * For op_store.c and op_store_steps.c: the driver's Checkpoint, and its Restore. Both return 0, or
 * -errno with `error`.
 */
int op_store_make(struct op_store *store, char *error, size_t size);
int op_store_undo(struct op_store *store, char *error, size_t size);
/* Drops the prefetched image, which frees its memory unless it is golden. */
void op_store_drop(struct op_store *store);

#endif
