// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_PROC_STATUS_H
#define CCR_PLUGIN_PROC_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Copies one field of /proc/PID/status, the text after its colon. Returns 0 or -errno; -ENOENT when
 * there is no such field. */
int ccr__proc_status(pid_t pid, const char *field, char *value, size_t size);

/* Whether a signal is in one of the thread's sets: "SigPnd" (sent to the thread), "ShdPnd" (sent to
 * its process), "SigBlk", ... */
bool ccr__has_signal(pid_t tid, const char *set, int signal);

/* The process that the thread belongs to, and the process that traces it (0: none); -1 if the
 * thread has ended. */
pid_t ccr__process_of(pid_t tid);
pid_t ccr__tracer_of(pid_t tid);

/* Returns the pid of `pid` in its own namespace, which names its images, or -errno. */
pid_t ccr__namespace_pid(pid_t pid);

/* True once no thread of the process will do anything more; see ccr_is_dying. */
bool ccr__has_ended(pid_t pid);
/* Why nothing can be done with a process any more: it, or its first thread, has ended. NULL: it
 * lives. */
const char *ccr__why_ended(pid_t pid);

#endif
