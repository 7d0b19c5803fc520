// SPDX-License-Identifier: GPL-2.0-only
/* The steps of a dump for all tasks of a tree at once, every thread of it stopped. */
#ifndef CCR_PLUGIN_DUMP_TREE_H
#define CCR_PLUGIN_DUMP_TREE_H

#include "plugin/task/restore_thread.h"
#include "plugin/task/state.h"

struct dump_member {
	pid_t pid;
	struct task *task; /* NULL: it has no CUDA */
};

/*
 * Lets the driver save the device memory of all members, and stores the host memory of each as soon
 * as that is done. Returns 0; or -errno: what has begun has ended, and the dump must be undone.
 */
int ccr__dump_tree(const struct dump_member *members, size_t nr);

/* dump.c: resumes the restore thread; the watcher knows before what to restore. Returns 0 or
 * -errno.
 */
int ccr__dump_resume(struct task *task, struct restore_thread *thread);
/* Stops it again. If that fails, the watcher restores the signal mask. Returns 0 or -errno. */
int ccr__dump_stop(struct task *task, struct restore_thread *thread);

#endif
