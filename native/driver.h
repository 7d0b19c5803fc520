// SPDX-License-Identifier: MIT
// The driver's checkpoint calls as promises. Results of the driver are passed on as numbers:
// lib/gpu gives them names and remedies.
#ifndef CCR_NATIVE_DRIVER_H
#define CCR_NATIVE_DRIVER_H

#include <napi.h>

namespace ccr
{

// Adds openDriver, state, restoreThreadId, lock, checkpoint, restore and unlock.
void AddDriver(Napi::Env env, Napi::Object exports);

} // namespace ccr

#endif
