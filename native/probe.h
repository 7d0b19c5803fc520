// SPDX-License-Identifier: MIT
// One look at a process: its name, its state in the driver, and the interceptor's service thread.
// All of it in one operation, because what takes the time is going to a thread and back.
#ifndef CCR_NATIVE_PROBE_H
#define CCR_NATIVE_PROBE_H

#include <napi.h>

namespace ccr
{

// Adds probe(driver, pid, startTime, restoreTid, serviceTid): what an earlier look found, 0 for
// unknown; it counts when startTime is still the process's. serviceTid -1: there is none, do not
// look.
void AddProbe(Napi::Env env, Napi::Object exports);

} // namespace ccr

#endif
