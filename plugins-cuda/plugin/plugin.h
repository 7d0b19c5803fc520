// SPDX-License-Identifier: GPL-2.0-only
/* The hooks of plugin.c that other files implement, and the watcher. */
#ifndef CCR_PLUGIN_H
#define CCR_PLUGIN_H

#include <sys/stat.h>

#include "plugin/watch/watcher_link.h"

/*
 * look.c; both return 0, or -EBUSY after telling in log and status file why not. `*pids` is the
 * tree of the process, `nr` of them, the process first; 0 when it was looked at before.
 */
int ccr__look_before_dump(pid_t pid, const pid_t **pids, size_t *nr);
int ccr__look_before_restore(void);
/* The same before the driver saves device memory that the pool could not take. */
int ccr__look_without_pool(pid_t pid);

/* pause.c */
int ccr__pause_devices(int pid);

/* dump.c */
int ccr__checkpoint_devices(int pid);
void ccr__dump_finish(int ret);

/*
 * undo.c: returns a task to the state before the dump and writes the outcome to the status file.
 * Returns 0; -EAGAIN: call it again later, but at the last try (`is_last`) that is a failure; or
 * another -errno, and the task is not in its prior state. Its restore thread must be able to run.
 */
int ccr__undo(struct task *task, bool is_last);

/*
 * undo_guarded.c: in the watcher, when criu has ended. Returns the threads and the host memory of a
 * process that was stopped by its guard, and resumes it; the driver cannot work in a stopped
 * process. A process for which that fails is killed.
 */
void ccr__undo_guarded(struct task *task);

/* restore.c */
int ccr__resume_devices_late(int pid);

/*
 * outside_socket.c. At a dump, CRIU asks about each Unix socket that is connected to a process
 * outside the tree: returns 0 if the plugin takes care of it, -ENOTSUP if not, another -errno if
 * the dump must fail. At a restore it asks for the descriptor: one whose peer has hung up.
 */
int ccr__dump_outside_socket(int fd, int inode);
int ccr__restore_outside_socket(int inode);

/*
 * second_watcher.c: starts a process that takes over when this watcher is killed, and then returns
 * a second time. Moves the records to memory that both share. Returns 0 in the first watcher, 1 in
 * one that has taken over, or -errno: there is no second one.
 */
int ccr__second_watcher_start(struct task **tasks, size_t nr);
/* In one that has taken over: a process dies with the watcher that has changed it. Then kills the
 * rest of the tree as well, and waits until it has ended. */
void ccr__second_watcher_check(struct task *const *tasks, size_t nr);
/* The work is complete: the second watcher ends as well. */
void ccr__second_watcher_end(void);

/*
 * device_files.c: open device files of the driver that belong to no CUDA context, but were
 * inherited from a parent. CRIU asks about each open file that it cannot dump: returns 0 if the
 * plugin takes care of it, -ENOTSUP if it is not one of these, another -errno if the dump must
 * fail. The restore, in the restored process, returns a descriptor or -errno. `id` is CRIU's, the
 * same for descriptors that share an open file. `retry_needed` is only one if CRIU passes it: see
 * criu_abi.h.
 */
int ccr__dump_device_file(int fd, int id);
int ccr__restore_device_file(int id, bool *retry_needed);
/*
 * device_mappings.c: mappings of these devices in processes without CUDA, which the look lets pass
 * only where a fork has left them. dump: 0 if it is one, else -ENOTSUP. restore, in the restored
 * process: 1, and the file to map instead; -ENOTSUP if the device is not the driver's; or another
 * -errno.
 */
int ccr__dump_device_mapping(int fd, const struct stat *st);
int ccr__restore_device_mapping(const char *path, uint64_t address, uint64_t *new_offset, int *fd);
/* At init of a restore: returns 0, or -ENODEV and has logged which device file is missing. */
int ccr__device_files_check(void);

/* watcher.c */
extern const struct watcher_ops ccr__watcher_ops;

#endif
