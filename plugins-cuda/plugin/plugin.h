// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of the plugin inside one criu process. CRIU calls every hook from
 * its main thread, one after another: nothing here is locked.
 */
#ifndef CCR_PLUGIN_H
#define CCR_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/protocol/device_map.h"
#include "common/driver/driver.h"
#include "common/log.h"
#include "common/settings/settings.h"
#include "common/status.h"
#include "plugin/task/criu_abi.h"

#define PLUGIN_NAME "cuda_plugin" /* upstream's name: images stay exchangeable */

enum step { STEP_LOCK, STEP_CHECKPOINT, STEP_RESTORE, STEP_UNLOCK };

/* One CUDA process of the tree. */
struct task {
	struct task *next;
	pid_t pid;
	pid_t restore_tid;
	CUprocessState prior; /* the state it was found in, put back unless the dump is committed */
	pid_t service_tid;    /* of the interceptor, 0 when the driver keeps the memory */
	uint32_t operation;   /* of the pool, for the interceptor's doorbell; 0: none */
	pid_t image_pid;      /* its pid in its own namespace, which names its image */
	bool is_saved;	      /* the pool has answered about its copy, */
	int save_result;      /* this */
	bool is_awaited;      /* it is to take its memory as soon as it runs */
	int pidfd;	      /* in the watcher */
};

struct plugin {
	bool enabled;
	bool in_inventory;
	bool restore_failed; /* one device restore failed: no task of the tree may run */
	struct ccr_settings settings;
	struct ccr_device_map device_map;
	struct ccr_driver driver;
	struct ccr_status status;
	struct task *tasks;
	int watcher_fd; /* our end of the socket to the watcher, -1 before the first CUDA process */
	int warmer_fd;	/* the same to the warmer, which ends when nobody has it any more */
	double driver_ms, hook_ms;
};

extern struct plugin ccr__plugin;

/* task.c */
double ccr__now_ms(void);
const char *ccr__state_name(CUprocessState state);
/* Restore thread of `pid`; 0, or -ENOTSUP when it is no CUDA process, or -EIO. */
int ccr__task_detect(pid_t pid, pid_t *restore_tid);
/* A new entry in ccr__plugin.tasks, NULL without memory. */
struct task *ccr__task_add(pid_t pid, pid_t restore_tid, CUprocessState prior);
struct task *ccr__task_find(pid_t pid);
void ccr__task_free_all(void);
/* One call into the driver, timed, logged and recorded. */
CUresult ccr__task_step(const struct task *task, enum step step);
/*
 * Brings the process to `target` (running, locked or checkpointed) from
 * whatever the driver says it is in now, only ever by Restore and Unlock. The
 * restore thread must be able to run. On failure `*failed` names the call.
 */
CUresult ccr__task_raise(const struct task *task, CUprocessState target, const char **failed);
/* One «task» line of the status file. `reason` may be NULL. */
void ccr__task_outcome(const struct task *task, const char *outcome, const char *reason);

/* restore_thread.c */
struct restore_thread {
	pid_t tid;
	bool resumed; /* false: it was not stopped by us, so it runs anyway */
	bool is_held; /* SIGSTOP waits for its turn */
	unsigned long long sigmask;
};
/* Lets the one thread run that the driver works in; 0 or -errno. */
int ccr__restore_thread_resume(struct restore_thread *thread, pid_t tid);
/* Stops it again as CRIU had it; 0 or -errno. */
int ccr__restore_thread_stop(struct restore_thread *thread);
/* One is let run by us. */
bool ccr__restore_thread_is_ours(void);
/* Lets it go on when a signal has stopped it. */
void ccr__restore_thread_tend(void);
/*
 * As CRIU has a stopped thread: a filter of the task is no obstacle, nor does it see what is run
 * there. That takes CAP_SYS_ADMIN; without it CRIU itself refuses tasks with a filter, and the
 * others need no such thing. 0, or -1 with errno.
 */
int ccr__set_ptrace_options(pid_t tid);
/*
 * While memory of the task is replaced: its other threads run as soon as criu
 * is gone, and what they write before the last replacement would be lost. 0 or -errno.
 */
int ccr__end_with_criu(pid_t tid, bool is_wanted);

/*
 * task/background.c: starts `run` in a detached process; the socket to it (it sees the
 * end of file when criu ends), or -errno.
 */
int ccr__companion_start(const char *name, void (*run)(int stage, int fd), int stage);

/* preinit.c */
void ccr__warmer_start(void);
/* The watcher, which has just been forked, keeps it from here on. */
void ccr__warmer_passed(void);

/* proc_status.c */
/* One field of /proc/PID/status as text, from after its colon; 0 or -errno, -ENOENT when it has
 * none. */
int ccr__proc_status(pid_t pid, const char *field, char *value, size_t size);

/* watcher.c */
int ccr__watcher_start(int stage);
/* True once a SIGKILL is on its way, and when it is gone: nothing more is to be expected of it. */
bool ccr__is_dying(pid_t pid);
/* Tells the watcher about a task before the first driver call on it, and again when the pool has a
 * part in it. */
int ccr__watcher_track(const struct task *task);
/* The prior states are back, or the restore is complete: only memory is left to see to. */
void ccr__watcher_release(void);

/* plugin.c: opens the status file and starts the watcher when the first CUDA process is met. */
int ccr__begin(int stage);

/* dump.c, restore.c */
int ccr__pause_devices(int pid);
int ccr__checkpoint_devices(int pid);
void ccr__dump_finish(int ret);
int ccr__resume_devices_late(int pid);

#endif
