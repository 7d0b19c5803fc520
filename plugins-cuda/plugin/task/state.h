// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of the plugin inside one criu process. CRIU calls every hook from
 * its main thread, one at a time, so nothing here needs a lock.
 */
#ifndef CCR_PLUGIN_STATE_H
#define CCR_PLUGIN_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/driver/driver.h"
#include "common/log.h"
#include "common/protocol/device_map.h"
#include "common/settings/settings.h"
#include "common/status.h"
#include "plugin/task/criu_abi.h"

#define PLUGIN_NAME "cuda_plugin" /* upstream's name: images work with both plugins */

/* What was done to the host memory of a task. Each state is recorded before the step that needs it.
 */
enum host_state {
	HOST_NONE,     /* nothing */
	HOST_SAVING,   /* a page file may exist, the memory is untouched */
	HOST_EMPTYING, /* the manifest is written; any part of the memory may be empty */
	HOST_EMPTY,    /* all of the saved memory is empty */
	HOST_FILLED,   /* the memory is as before */
};

/* What the memory of a task went through, in bytes; see task/account.h. */
struct task_memory {
	uint64_t driver_bytes; /* the driver has saved to host memory, or brought back from there */
	uint64_t page_bytes;   /* in its page file */
	uint64_t criu_bytes;   /* in CRIU's images, about */
	const char *reason;    /* why the pool does not move its device memory; NULL: it does */
};

struct driver_worker;

/* One process of the tree that was changed: all that an undo needs to know. */
struct task {
	struct task *next;
	pid_t pid;
	pid_t restore_tid;
	CUprocessState prior; /* the state before the dump, for a rollback */
	pid_t service_tid;    /* of the interceptor; 0: the driver saves the memory */
	uint32_t operation;   /* of the pool; 0: none */
	uint32_t storage;     /* the same, if the pool makes the driver's Checkpoint */
	bool is_stored;	      /* it was asked to: nobody else may have the memory */
	pid_t image_pid;      /* its pid in its own namespace, which names its image */
	bool is_joined;	      /* its gate is closed with others, and its memory is its own */
	bool is_saved;	      /* the pool has reported the result of the save */
	int save_result;      /* that result: 0 or -errno */
	bool is_awaited;      /* the watcher waits until it has its memory */
	bool is_given;	  /* the pool has said so, or why not, while something else was awaited */
	int given_result; /* that result: 0 or -errno */
	bool is_locking;  /* the driver's lock may be in progress */
	bool is_changed;  /* its device memory or driver state may have been changed */
	bool is_undone;	  /* the undo is complete, or cannot be completed */
	bool is_plain;	  /* a process without CUDA: only its host memory was changed */
	bool has_connections; /* of TCP, which CRIU may have locked */
	bool is_resumed;      /* its restore thread may have its signals blocked by us */
	uint64_t sigmask;     /* of that thread before */
	enum host_state host_state;
	uint8_t host_id[8]; /* of its page file and manifest; see image/pages/pages.h */
	struct task_memory memory;
	int result;		      /* of a restore: what its hook returns */
	struct driver_worker *worker; /* in criu: makes its driver calls; NULL: the common one */
	/* only in the watcher */
	int pidfd, driver_pidfd; /* of the process, and of what makes criu's driver calls on it */
	bool was_injected;
	bool is_undoing;      /* the watcher may have stopped it, and changed its registers */
	bool is_recovered;    /* its threads and its memory were returned after the end of criu */
	bool is_asked_again;  /* the pool was asked a second time to return its memory */
	bool was_pending;     /* its service thread had not taken its connection */
	double awaited_since; /* when it first ran without its memory; 0: it does not run */
};

/* The task must not run until its host memory is filled. */
static inline bool ccr__host_is_empty(const struct task *task)
{
	return task->host_state == HOST_EMPTYING || task->host_state == HOST_EMPTY;
}

struct watcher_ops;

struct plugin {
	int stage; /* STAGE_* */
	bool enabled;
	bool in_inventory;
	bool restore_failed; /* one device restore failed: no task of the tree may run */
	struct ccr_settings settings;
	struct ccr_device_map device_map;
	struct ccr_driver driver;
	struct ccr_status status;
	struct task *tasks;
	const struct watcher_ops *watcher;
	bool has_begun; /* the status file was opened, or there cannot be one */
	pid_t criu_pid, watcher_pid;
	int watcher_fd;		 /* our end of the socket to the watcher; -1: not started */
	bool watcher_has_status; /* the watcher can write to the status file */
	/* our end of the socket to the preinit process, which ends when all copies are closed */
	int preinit_fd;
	double driver_ms, hook_ms;
};

extern struct plugin ccr__plugin;

/* The path from which criu has loaded this plugin; empty if it is not known. */
const char *ccr__plugin_path(void);

/* Milliseconds of a monotonic clock. */
double ccr__now_ms(void);

#endif
