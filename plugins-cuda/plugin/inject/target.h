// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_INJECT_TARGET_H
#define CCR_PLUGIN_INJECT_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The address of a system call instruction in the vdso; 0: there is none. */
uint64_t ccr__inject_gadget(pid_t pid);
/* Whether `ip` is inside a restartable sequence of the thread. */
bool ccr__inject_in_rseq(pid_t tid, uint64_t ip);

#endif
