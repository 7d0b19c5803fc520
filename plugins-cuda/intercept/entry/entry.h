// SPDX-License-Identifier: MIT
/* How a program's calls reach the stubs: symbol lookup, slots, and the start after cuInit. */
#ifndef CCR_INTERCEPT_ENTRY_H
#define CCR_INTERCEPT_ENTRY_H

#include "intercept/core/core.h"
#include "intercept/gate/gate.h"

/* slots.c: returns what the program gets instead of `real`, the driver's function of this name. */
void *ccr__stub_for(const char *name, void *real);
/* The same for a name without ABI version, as cuGetProcAddress takes it. */
void *ccr__stub_for_base(const char *base, void *real);
/* Returns the index in hook_list.h, or -1. */
int ccr__hook_find(const char *name);

/*
 * versions.c: whether only known versions of a call may be used, by its name without
 * version; and whether a name is such a call in a version that we do not know.
 */
bool ccr__is_guarded(const char *base);
bool ccr__is_unknown_version(const char *name);
void ccr__report_unknown_version(const char *name);

/* lookup.c: glibc's own functions. */
extern void *(*ccr__real_dlsym)(void *handle, const char *name);
extern void *(*ccr__real_dlvsym)(void *handle, const char *name, const char *version);

/* In a forked child: releases the lock that another thread may have held. */
void ccr__slots_reset(void);

#endif
