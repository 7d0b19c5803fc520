// SPDX-License-Identifier: MIT
/* Contexts of the program and peer access, as far as memory depends on them. Thread-safe. */
#ifndef CCR_INTERCEPT_CONTEXTS_H
#define CCR_INTERCEPT_CONTEXTS_H

#include "intercept/core/core.h"
#include "intercept/core/real.h"

/* The program created it. */
void ccr__context_note(CUcontext ctx);
/* Contexts the program created and did not destroy; the number of them (up to `room`). */
size_t ccr__context_list(CUcontext *out, size_t room);
void ccr__context_forget(CUcontext ctx);
/* In a forked child: nobody holds the list. */
void ccr__contexts_reset(void);
/* A context of the device to copy in, made current by a push; `*retained` to be given back. */
CUresult ccr__context_push(CUdevice device, bool *retained);
void ccr__context_pop(CUdevice device, bool retained);

/* The primary context of a device, NULL while it was never retained (or is none of ours). */
void ccr__primary_note(CUdevice device, CUcontext ctx);
CUcontext ccr__primary_of(CUdevice device);

/* Whether `accessor` may use cuMemAlloc memory of `owner`; both below CCR_MAX_DEVICES. */
bool ccr__peer_enabled(CUdevice accessor, CUdevice owner);
void ccr__peer_set(CUdevice accessor, CUdevice owner, bool enabled);

#endif
