// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several threads of a stopped process that run system calls while another thread
 * of it runs. They are chosen and guarded beforehand, so that they can begin at
 * once. They have no scratch page: to map one, a thread would wait until another
 * that pins or populates memory is done, because the kernel does not change the
 * list of mappings meanwhile. So the arguments of their calls are numbers. If criu dies,
 * the guards stop the process and the watcher returns the threads to their work;
 * if both die, the process is killed, because a dump has changed it.
 */
#ifndef CCR_PLUGIN_CREW_H
#define CCR_PLUGIN_CREW_H

#include <stdbool.h>
#include <stddef.h>

#include "plugin/inject/inject.h"
#include "plugin/watch/watcher_link.h"

struct crew {
	struct injection threads[WATCHER_MAX_THREADS];
	size_t nr;	   /* may be 0 */
	size_t nr_entered; /* those that are changed */
	bool is_at_work;   /* between begin and end */
};

/* Chooses threads that criu has stopped, all but `spared`, and has them guarded; changes none.
 * `known`: an injection into another thread of the process, or NULL. Returns 0 or -errno. */
int ccr__crew_prepare(struct crew *crew, pid_t pid, pid_t spared, const struct injection *known);
/* From here on ccr__inject_start and ccr__inject_finish may be called on each of the threads. Does
 * not wait for anybody. Returns 0; -ENOTSUP, as ccr__inject_begin does; or another -errno. */
int ccr__crew_begin(struct crew *crew);
/* Always to be called after ccr__crew_prepare: returns the threads to their own work, if they were
 * called, and removes the guards. Returns 0 or -errno: a thread does not respond. */
int ccr__crew_end(struct crew *crew);

#endif
