// SPDX-License-Identifier: MIT
/* The program's contexts and peer access, as far as memory depends on them. Any thread may call. */
#ifndef CCR_INTERCEPT_CONTEXTS_H
#define CCR_INTERCEPT_CONTEXTS_H

#include "intercept/core/core.h"
#include "intercept/core/real.h"

/* Notes a context that the program created. */
void ccr__context_note(CUcontext ctx);
/* Copies up to `room` contexts that the program created and did not destroy; their number. */
size_t ccr__context_list(CUcontext *out, size_t room);
void ccr__context_forget(CUcontext ctx);
/* In a forked child: releases the lock that another thread may have held. */
void ccr__contexts_reset(void);
/* Makes a context of the device current, for a copy. Pass `*retained` to ccr__context_pop. */
CUresult ccr__context_push(CUdevice device, bool *retained);
void ccr__context_pop(CUdevice device, bool retained);

/* The primary context of a device; NULL until it was retained, or for an unknown device. */
void ccr__primary_note(CUdevice device, CUcontext ctx);
CUcontext ccr__primary_of(CUdevice device);

/* True when `accessor` may use cuMemAlloc memory of `owner`; both are below CCR_MAX_DEVICES. */
bool ccr__peer_enabled(CUdevice accessor, CUdevice owner);
void ccr__peer_set(CUdevice accessor, CUdevice owner, bool enabled);

#endif
