// SPDX-License-Identifier: GPL-2.0-only
/* The steps of save.c and finish.c for the memory of one task. */
#ifndef CCR_PLUGIN_SAVE_H
#define CCR_PLUGIN_SAVE_H

#include <stdbool.h>
#include <sys/types.h>

#include "image/pages/pages.h"
#include "plugin/host/early.h"
#include "plugin/host/page_file.h"
#include "plugin/host/remap/remap.h"
#include "plugin/task/state.h"

/* Memory of a task on its way to a page file. */
struct save {
	struct save *next;
	pid_t pid;
	struct task *task;	    /* since there is a file */
	bool has_before;	    /* `before` is known: */
	struct remap_ranges before; /* what was mapped before the driver's checkpoint */
	struct early *early;	    /* NULL: nothing is copied before the end of the checkpoint */
	struct pages_dir dir;
	struct remap_plan plan;
	struct ccr_pages *pages;
	struct remap_copy *copy;
	int fd; /* of the page file; -1: there is none */
};

/* Says why host memory is left to CRIU. Returns 0: the dump does not depend on us. */
int ccr__save_leave(pid_t pid, const char *why);
/* Records what is done next, or was done, to the host memory. Returns 0 or -errno. */
int ccr__save_record(struct task *task, enum host_state state);
/* The copy has ended with `ret`: takes the memory away, or leaves it to CRIU. Returns 0 or -errno:
 * the dump must fail. */
int ccr__save_finish(struct save *save, int ret);
/* Nothing of it is worth a page file: removes it, if there is one. Returns 0 or -errno. */
int ccr__save_abandon(struct save *save);
void ccr__save_free(struct save *save);

#endif
