// SPDX-License-Identifier: MIT
/*
 * Memory that processes of a session share. On a dump, what one has imported is matched with
 * what another has exported; the exporter's memory is moved, and the image of the importer says
 * where it is. When they get their memory back, the exporter is asked for a descriptor of its
 * new memory, which the importers map.
 */
#ifndef CCR_POOL_SHARING_H
#define CCR_POOL_SHARING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/protocol/protocol.h"
#include "image/image.h"

struct op_process;
struct session;

/* One import. The processes are known by the pids in the names of their images. */
struct relation {
	struct relation *next;
	struct op_process *importer, *exporter; /* NULL until a request names them */
	pid_t importer_image;
	struct ccr_image_import import;
	int fd; /* of the memory: before the dump, then of the exporter's new memory; or -1 */
	bool is_fresh;	/* it is the new memory */
	bool is_placed; /* the importer has it */
	bool is_broken; /* the exporter has other memory, and runs */
};

/* Of a session. The lock guards everything, also what struct op_process has for this. */
struct sharing {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct relation *all;
	uint32_t nr_expected, nr_arrived; /* OP_RECLAIM */
	bool is_over;			  /* no more requests will come */
};
#define SHARING_INITIALIZER                                                            \
	{                                                                              \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0, 0, false \
	}

/*
 * Dump, when all members are quiet: asks each what it shares. Returns 0, or -errno with the
 * process in `error` if one has imported memory that no member has exported.
 */
int sharing_find(struct session *session, uint32_t timeout_ms, char *error, size_t size);
/* Takes the descriptor of the relation. Returns 0 or -ENOMEM. */
int sharing_add(struct session *session, const struct relation *relation);
/* Sends what a process has imported to the descriptor backup. Returns 0 or -errno. */
int sharing_backup(struct op_process *process);
/* The same of the process's image: an array that the caller frees, or NULL. */
int sharing_imports(struct op_process *process, struct ccr_image_import **imports, uint32_t *nr);

/* Restore: the imports of an image. Returns 0 or -ENOMEM. */
int sharing_expect(struct session *session, pid_t image_pid, const struct ccr_image_import *imports,
		   uint32_t nr);
/* All images are known. Returns 0, or -ENODATA if the memory of an import is in none of them. */
int sharing_check(struct session *session, char *error, size_t size);
/* OP_RECLAIM: how many there will be, and whether there is such a process; a SHARED message of the
 * backup, whose `fds` it takes. */
void sharing_reclaim(struct session *session, uint32_t nr_expected, bool is_there);
int sharing_take_backup(struct op_process *process, const struct ccr_message *message,
			const int *fds);

/* A request has named the process: its relations are known from now on. */
void sharing_arrived(struct op_process *process);
/* It does not get its memory from us, or not any more: it has it, or has ended. */
void sharing_left(struct op_process *process);
/* It has its memory already, so what it exports is not what its importers will get. */
void sharing_runs(struct op_process *process);
/*
 * The way in which a process gets its memory: enum ccr_attach_mode, and whether it shares any.
 * May wait until it is known who else gets memory.
 */
uint32_t sharing_mode(struct op_process *process, uint32_t mode, bool *shares);
/*
 * After PLACED: exports what others import, and gives the process what it has imported. Then
 * waits until its importers have theirs. Returns 0, or -errno with `error`.
 */
int sharing_exchange(struct op_process *process, char *error, size_t size);

/* Wakes everyone who waits. */
void sharing_end(struct session *session);
void sharing_free(struct session *session);

/* interceptor_sharing.c: the messages. Each returns 0, or -errno with `error`. */

typedef int (*sharing_take)(void *argument, const struct ccr_wire_shared *wire, int fd);
/* Asks a quiet thread what its process shares. `take` owns the descriptor. */
int interceptor_list_shared(int connection, uint32_t operation, uint32_t timeout_ms,
			    sharing_take take, void *argument, char *error, size_t size);
/* Gets a descriptor of each allocation. */
int interceptor_export(int connection, uint32_t operation, const uint64_t *ids, int *fds, size_t nr,
		       char *error, size_t size);
/* Gives the process what it has imported, and waits until it is mapped. */
int interceptor_place_shared(int connection, uint32_t operation, const uint64_t *ids,
			     const int *fds, size_t nr, char *error, size_t size);

#endif
