// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens to a process when criu dies while it is changed. Its threads would
 * run at once, before anyone can undo the change. With a guard, the
 * kernel stops them before they run one instruction, and the watcher undoes the
 * change and resumes them. If the watcher dies too, the kernel kills the process,
 * if that was asked for.
 */
#ifndef CCR_PLUGIN_GUARD_H
#define CCR_PLUGIN_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The descriptors of one guard that the watcher gets: one for SIGSTOP, two for SIGKILL (-1: not for
 * threads). */
#define GUARD_FDS 3

/* ---- in criu ---- */

/* There are guards from now on. Processes that criu forks have no part in them. Returns 0 or
 * -errno.
 */
int ccr__guard_create(void);
/*
 * Creates the guard of a process, or of one thread of it, with nothing armed. Returns 1 with the
 * descriptors in `fds`, which the watcher must get before the process is changed; 0 when it exists
 * already, or there are no guards (at a restore, in the watcher); or -errno.
 */
int ccr__guard_add(pid_t id, bool is_thread, int fds[GUARD_FDS]);
/* How many guards there can be, because of criu's limit of open files. */
size_t ccr__guard_room(void);
/*
 * Arms or disarms SIGSTOP for the death of criu; nothing happens if there is no guard. Returns 0 or
 * -errno.
 */
int ccr__guard_stop(pid_t id, bool is_thread, bool is_armed);
/* The same for SIGKILL, for the case that both criu and the watcher die. */
int ccr__guard_kill(pid_t pid, bool is_armed);
/* Removes a guard; nothing happens if there is none. */
void ccr__guard_disarm(pid_t id, bool is_thread);
/* True if the death of criu stops the process. Either of both may have armed it. */
bool ccr__guard_stops(pid_t pid);
/*
 * The first call of a thread that criu starts: the thread must not keep triggers open when criu is
 * killed, and criu's main thread ends first. At a dump it has descriptors of its own from then on.
 */
void ccr__guard_enter_thread(void);

/* Calls `give` for each guard until it fails: another watcher takes them over. Returns its result.
 */
int ccr__guard_for_each(int (*give)(pid_t id, bool is_thread, const int fds[GUARD_FDS]));

/* ---- in the watcher ---- */

/* Forgets criu's guards. */
void ccr__guard_watch(void);
/* Takes over a guard's descriptors. Returns 0 or -errno. */
int ccr__guard_take(pid_t id, bool is_thread, const int fds[GUARD_FDS]);

#endif
