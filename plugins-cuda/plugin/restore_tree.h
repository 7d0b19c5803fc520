// SPDX-License-Identifier: GPL-2.0-only
/* The steps of a restore for all tasks of a tree at once. */
#ifndef CCR_PLUGIN_RESTORE_TREE_H
#define CCR_PLUGIN_RESTORE_TREE_H

#include "plugin/device/device.h"
#include "plugin/host/host.h"
#include "plugin/task/raise.h"
#include "plugin/task/restore_thread.h"

enum member_phase {
	MEMBER_NEW,
	MEMBER_FILLING, /* threads fill the host memory that the driver waits for */
	MEMBER_FILLED,	/* waits for somebody who makes its driver calls */
	MEMBER_STORED,	/* the pool brings back what the driver hands over */
	MEMBER_RAISING, /* the driver restores it, its restore thread runs */
	MEMBER_RAISED,	/* what the driver has read is compared, late memory is filled */
	MEMBER_READY,
};

/* A task whose threads are all stopped. */
struct member {
	struct task *task;
	struct host_restore *host; /* NULL: it has no page file */
	struct host_bytes bytes;
	enum member_phase phase;
	struct restore_thread thread;
	struct storage_restore *storage; /* while it is MEMBER_STORED */
	struct raise raise;
	struct driver_seat *seat; /* while it is MEMBER_STORED or MEMBER_RAISING */
	uint64_t private_bytes;	  /* before the driver's restore */
};

/* Why the tasks must not run. */
struct restore_failure {
	const struct task *task;
	const char *call, *error;
};

/*
 * Fills the host memory of all members, and lets the driver restore each as soon as its memory is
 * filled; those that come first in the list are filled first. Gives them access to their device
 * memory. Returns 0; or -errno with the failure: all tasks have to be killed, then
 * ccr__restore_tree_end is to be called.
 */
int ccr__restore_tree(struct member *members, size_t nr, struct restore_failure *failure);
/* After a failure, when all tasks are dead: ends what still waits for them. */
void ccr__restore_tree_end(struct member *members, size_t nr);

#endif
