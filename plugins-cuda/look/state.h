/* SPDX-License-Identifier: MIT */
/* One look while it is made. */
#ifndef CCR_LOOK_STATE_H
#define CCR_LOOK_STATE_H

#include "look/look.h"
#include "look/process.h"

#include "common/driver/nvml.h"

struct state {
	const struct ccr_look_request *request;
	struct ccr_look *look;
	int root; /* a descriptor of the root directory */
	struct text text;
	struct list processes; /* struct process; the first is the root of the tree */
	struct list reasons;   /* struct ccr_look_reason */
	struct sockets sockets;
	struct ccr_gpu_use *uses;
	size_t nr_uses;
	size_t nr_nccl;	   /* processes with threads of a communicator */
	bool lacks_memory; /* -ENOMEM */
};

#define each_process(p, s)                             \
	for (struct process *p = (s)->processes.items; \
	     p && p < (struct process *)(s)->processes.items + (s)->processes.count; p++)

/* Adds a reason, unless what it names is carried; `format` gives the detail. */
void ccr__look_add(struct state *s, enum ccr_look_kind kind, pid_t pid, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
#define ccr__look_found(s, kind, pid) ccr__look_add(s, kind, pid, "%s", "")

/* "3.2 GiB" */
const char *ccr__look_size(char *out, size_t size, uint64_t bytes);

/* True if the interceptor of a process that has a service thread is of another version, which this
 * one does not understand. */
bool ccr__look_is_foreign(const struct process *p);
/* True if the driver would copy the process's device memory to host memory, because no pool moves
 * it. */
bool ccr__look_is_copied(const struct state *s, const struct process *p);

/* rules.c: what one process has, is and lacks. */
void ccr__look_judge(struct state *s, const struct process *p);
/* sharing.c: device memory that processes share. */
void ccr__look_judge_sharing(struct state *s, const struct process *p);
/* room.c: host memory and the store, for the whole tree, and for images. */
void ccr__look_judge_room(struct state *s);
void ccr__look_judge_images(struct state *s);
/* tcp.c: the number of established connections of the tree's sockets. */
size_t ccr__look_connections(struct state *s);

#endif
