// SPDX-License-Identifier: MIT
// The addon's table of exports. Node loads it once per environment; nothing here opens a driver.
#include <napi.h>

#include "driver.h"
#include "completion_queue.h"
#include "nvml_query.h"
#include "process_memory.h"

namespace
{

Napi::Object Init(Napi::Env env, Napi::Object exports)
{
	ccr::CompletionQueue::Open(env);
	ccr::AddDriver(env, exports);
	ccr::AddNvml(env, exports);
	ccr::AddProcessMemory(env, exports);
	return exports;
}

} // namespace

NODE_API_MODULE(criu_cuda, Init)
