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

/* Of a process, as its service thread says. */
enum member_state { MEMBER_UNKNOWN, MEMBER_WAITS, MEMBER_HAS_MEMORY };

/* One import. The processes are known by the pids in the names of their images. */
struct relation {
	struct relation *next;
	struct op_process *importer, *exporter; /* NULL until a request names them */
	pid_t importer_image;
	struct ccr_image_import import;
	int fd; /* of the memory: before the dump, then of the exporter's new memory; or -1 */
	bool is_fresh;	/* it is the new memory */
	bool is_placed; /* the importer has it */
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
/* Sends all of it to the descriptor backup. Returns 0 or -errno. */
int sharing_backup(struct session *session);
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
/* It does not get its memory from us, or not any more: it has it, or has ended. Returns whether
 * that was known. */
bool sharing_left(struct op_process *process);
/* Its thread has said whether it has its memory, or waits for it. */
void sharing_note_state(struct op_process *process, bool has_memory);
/* It has its memory, and may run: gets descriptors for those that wait for it. */
int sharing_export_running(struct op_process *process, char *error, size_t size);
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

/* Everyone who will get memory is known. */
bool sharing_is_complete(const struct op_process *process);
/* It does not get its memory from us. */
bool sharing_is_gone(const struct op_process *process);

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
/*
 * Gives the process what it has imported, or the files by which others know what it exports, and
 * waits until it has them.
 */
int interceptor_place_shared(int connection, uint32_t operation, enum ccr_shared_kind kind,
			     const uint64_t *ids, const int *fds, size_t nr, char *error,
			     size_t size);

#endif
