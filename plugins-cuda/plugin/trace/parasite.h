// SPDX-License-Identifier: GPL-2.0-only
/* For the watcher: the code of its own that a dead criu has left running in a process. */
#ifndef CCR_PLUGIN_PARASITE_H
#define CCR_PLUGIN_PARASITE_H

#include <sys/types.h>

/*
 * Lets the thread run to the end of CRIU's parasite code, if it is in there. It must be
 * traced and stopped, and is so again before it runs an instruction of the program.
 * Returns 0 or -errno; -ETIMEDOUT after CRIU_CUDA_STEP_TIMEOUT_MS.
 */
int ccr__parasite_leave(pid_t tid);

#endif
