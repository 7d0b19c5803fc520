// SPDX-License-Identifier: MIT
// The addon's table of exports. Node loads it once per environment; nothing here opens a driver.
#include <napi.h>

#include "completion_queue.h"
#include "driver.h"
#include "file_status.h"
#include "libc.h"
#include "nvml_query.h"
#include "probe.h"
#include "process_memory.h"

namespace
{

// Raised with every change of what is exported; lib/native/addon.ts expects the same number.
constexpr int kInterfaceVersion = 6;

Napi::Object Init(Napi::Env env, Napi::Object exports)
{
	ccr::CompletionQueue::Open(env);
	exports.Set("interfaceVersion", kInterfaceVersion);
	ccr::AddDriver(env, exports);
	ccr::AddFileStatus(env, exports);
	ccr::AddLibc(env, exports);
	ccr::AddNvml(env, exports);
	ccr::AddProbe(env, exports);
	ccr::AddProcessMemory(env, exports);
	return exports;
}

} // namespace

NODE_API_MODULE(criu_cuda, Init)
