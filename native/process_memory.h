// SPDX-License-Identifier: MIT
// The memory of a process, from /proc/PID/smaps and pagemap. The kernel locks the map of the
// process while it answers, and waits for others that have locked it: not for the event loop.
#ifndef CCR_NATIVE_PROCESS_MEMORY_H
#define CCR_NATIVE_PROCESS_MEMORY_H

#include <napi.h>

namespace ccr
{

// Adds newCancel, cancel, memoryMap and memoryPages.
void AddProcessMemory(Napi::Env env, Napi::Object exports);

} // namespace ccr

#endif
