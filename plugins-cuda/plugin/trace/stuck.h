// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRIU waits without a limit for some answers of a process, and when the process is killed at the
 * wrong moment, the answer never comes: one that its parasite should give, or the end of the first
 * process of a PID namespace, which cannot end while criu traces another one. The watcher notices
 * that, and ends criu.
 */
#ifndef CCR_PLUGIN_STUCK_H
#define CCR_PLUGIN_STUCK_H

#include <stdbool.h>
#include <sys/types.h>

/* In criu, before it starts the watcher: makes memory that both have. Returns 0 or -errno. */
int ccr__stuck_prepare(void);
/* In criu: a process of the tree that is stopped, and which only SIGKILL can end. */
void ccr__stuck_add(pid_t pid);
/* In criu: the plugin works, and has limits for its waits. */
void ccr__stuck_in_plugin(bool is_in_plugin);
/*
 * In the watcher, once a second: kills criu when a process of the tree was killed and criu has
 * done nothing for CRIU_CUDA_LOCK_TIMEOUT_MS. Writes the outcome of that process.
 */
void ccr__stuck_check(int stage, pid_t criu, int criu_pidfd);

#endif
