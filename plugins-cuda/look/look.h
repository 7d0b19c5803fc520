/* SPDX-License-Identifier: MIT */
/*
 * One look at a process tree before it is dumped: every reason not to do it, each
 * with its remedy, before anything was changed. It reads /proc, once per task, asks
 * the driver which processes use CUDA, and NVML for their device memory. It
 * changes nothing and waits for nothing. kinds_list.h has the table of reasons.
 */
#ifndef CCR_LOOK_H
#define CCR_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/driver/driver.h"
#include "common/settings/settings.h"

enum ccr_look_kind {
#define KIND(id, name, severity, text, remedy, carried) CCR_LOOK_##id,
#include "look/kinds_list.h"
#undef KIND
	CCR_LOOK_NR_KINDS
};

enum ccr_look_severity { CCR_LOOK_REFUSE, CCR_LOOK_GUESS, CCR_LOOK_WARN };

struct ccr_look_row {
	const char *name;
	enum ccr_look_severity severity;
	const char *text, *remedy;
	const char *carried; /* NULL: not yet */
};

extern const struct ccr_look_row ccr_look_rows[CCR_LOOK_NR_KINDS];
/* "refuse", "guess" or "warn" */
const char *ccr_look_severity_name(enum ccr_look_severity severity);

/* What the caller knows. */
struct ccr_look_request {
	const char *root; /* NULL for "/"; tests have a directory with proc/ and sys/ */
	pid_t pid;	  /* the root of the tree */
	const struct ccr_settings *settings;
	const struct ccr_driver *driver; /* NULL: cannot be opened */
	const char *driver_error;	 /* why */
	int images_dir;			 /* a descriptor; -1: not known */
	bool uses_pool;	    /* the variant moves device memory of processes with the interceptor */
	bool uses_daemon;   /* the variant can use the pool daemon */
	bool falls_back;    /* the variant leaves to the driver what the pool cannot move */
	bool keeps_running; /* the tree runs on after the dump */
	bool counts_connections; /* fill `connections` */
};

struct ccr_look_reason {
	enum ccr_look_kind kind;
	pid_t pid;
	char detail[200]; /* what exactly was found; may be empty */
};

struct ccr_look {
	struct ccr_look_reason *reasons; /* in the order of the tree, then of the table */
	size_t nr_reasons;
	pid_t *pids; /* of the tree */
	size_t nr_pids;
	bool uses_cuda;	       /* without it there are no reasons */
	uint64_t device_bytes; /* of the tree; 0 also if NVML does not tell */
	size_t nr_mappings, nr_threads;
	size_t connections; /* established TCP connections of the tree */
};

/*
 * Looks at the tree of request->pid. Returns 0; -ESRCH when there is no such
 * process; -ENOMEM. A file of /proc that cannot be read is evidence of nothing:
 * the process may have just ended, or may not be inspected. On success, call
 * ccr_look_free.
 */
int ccr_look_at(const struct ccr_look_request *request, struct ccr_look *look);

/*
 * The same before a restore, by the images in request->images_dir; the pid of its
 * reasons is 0.
 */
int ccr_look_at_images(const struct ccr_look_request *request, struct ccr_look *look);

/* True if a reason refuses the dump, with `forced` only one that is not a guess. */
bool ccr_look_refuses(const struct ccr_look *look, bool forced);

/* Writes "PID TEXT: DETAIL", cut to fit. Returns `out`. */
const char *ccr_look_sentence(const struct ccr_look_reason *reason, char *out, size_t size);

void ccr_look_free(struct ccr_look *look);

#endif
