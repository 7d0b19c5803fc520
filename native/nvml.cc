// SPDX-License-Identifier: MIT
#include "nvml.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace ccr
{
namespace
{

std::mutex mutex;

std::unique_ptr<Nvml> Load(const std::vector<std::string> &candidates, std::string *error)
{
	void *library = nullptr;
	auto nvml = std::make_unique<Nvml>();

	for (const std::string &path : candidates) {
		library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
		nvml->path = path;
		if (library)
			break;
		const char *reason = dlerror();
		if (&path == &candidates.front()) // the others are guesses
			*error = reason;
	}
	if (!library)
		return nullptr;
#define CCR_NVML_LOAD(name, arguments)                                          \
	nvml->name = reinterpret_cast<int(*) arguments>(dlsym(library, #name)); \
	if (!nvml->name) {                                                      \
		*error = nvml->path + " has no " #name;                         \
		return nullptr;                                                 \
	}
	CCR_NVML_CALLS(CCR_NVML_LOAD)
#undef CCR_NVML_LOAD
	return nvml;
}

} // namespace

const Nvml *OpenNvml(const std::vector<std::string> &candidates, std::string *error, int *result)
{
	static auto *const opened = new std::map<std::vector<std::string>, std::unique_ptr<Nvml>>;
	std::lock_guard<std::mutex> lock(mutex);
	auto known = opened->find(candidates);

	*result = 0;
	if (known != opened->end())
		return known->second.get();
	std::unique_ptr<Nvml> nvml = Load(candidates, error);
	if (!nvml)
		return nullptr;
	*result = nvml->nvmlInit_v2();
	if (*result != NVML_SUCCESS)
		return nullptr;
	return opened->emplace(candidates, std::move(nvml)).first->second.get();
}

} // namespace ccr
