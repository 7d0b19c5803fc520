// SPDX-License-Identifier: MIT
// GPUs and the processes on them, from NVML, as promises.
#ifndef CCR_NATIVE_NVML_QUERY_H
#define CCR_NATIVE_NVML_QUERY_H

#include <napi.h>

namespace ccr
{

// Adds devices and deviceProcesses; both take the libraries to try, in order.
void AddNvml(Napi::Env env, Napi::Object exports);

} // namespace ccr

#endif
