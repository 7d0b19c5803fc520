// SPDX-License-Identifier: MIT
#include "nvml_query.h"

#include <climits>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "completion_queue.h"
#include "nvml.h"

namespace ccr
{
namespace
{

// Thrown inside a query only; Query::Run turns it into the operation's failure.
struct NvmlError {
	const char *call;
	int result;
};

class Query : public Operation
{
      public:
	explicit Query(std::vector<std::string> candidates) : candidates_(std::move(candidates))
	{
	}

	void Run() override
	{
		std::string error;
		int result;

		nvml = OpenNvml(candidates_, &error, &result);
		if (!nvml && result == NVML_SUCCESS) {
			failure = Failure{"open", error, "", 0};
			return;
		}
		try {
			Check("nvmlInit_v2", result);
			Ask();
		} catch (const NvmlError &failed) {
			failure = Failure{"nvml", failed.call, failed.call, failed.result};
		}
	}

      protected:
	virtual void Ask() = 0;

	static void Check(const char *call, int result)
	{
		if (result != NVML_SUCCESS)
			throw NvmlError{call, result};
	}

	NvmlDevice Device(unsigned int index)
	{
		NvmlDevice device = nullptr;

		Check("nvmlDeviceGetHandleByIndex_v2",
		      nvml->nvmlDeviceGetHandleByIndex_v2(index, &device));
		return device;
	}

	unsigned int Count()
	{
		unsigned int count = 0;

		Check("nvmlDeviceGetCount_v2", nvml->nvmlDeviceGetCount_v2(&count));
		return count;
	}

	std::string Uuid(NvmlDevice device)
	{
		char uuid[96];

		Check("nvmlDeviceGetUUID", nvml->nvmlDeviceGetUUID(device, uuid, sizeof(uuid)));
		return uuid;
	}

	const Nvml *nvml = nullptr;

      private:
	std::vector<std::string> candidates_;
};

struct Gpu {
	std::string uuid, name, pci;
	NvmlMemory memory;
	bool has_memory;
	// 0: the device does not say
	unsigned int generation, width, max_generation, max_width;
};

class Devices : public Query
{
      public:
	using Query::Query;

	Napi::Value Result(Napi::Env env) override
	{
		Napi::Object result = Napi::Object::New(env);
		Napi::Array list = Napi::Array::New(env, gpus_.size());

		for (uint32_t i = 0; i < gpus_.size(); i++)
			list.Set(i, ObjectOf(env, gpus_[i]));
		result.Set("library", nvml->path);
		result.Set("driverVersion", driver_version_);
		result.Set("cudaVersion", cuda_version_);
		result.Set("devices", list);
		return result;
	}

      protected:
	void Ask() override
	{
		char version[80];

		Check("nvmlSystemGetDriverVersion",
		      nvml->nvmlSystemGetDriverVersion(version, sizeof(version)));
		driver_version_ = version;
		Check("nvmlSystemGetCudaDriverVersion_v2",
		      nvml->nvmlSystemGetCudaDriverVersion_v2(&cuda_version_));
		for (unsigned int i = 0, count = Count(); i < count; i++)
			gpus_.push_back(AskOne(Device(i)));
	}

      private:
	Gpu AskOne(NvmlDevice device)
	{
		Gpu gpu{};
		char name[96];
		NvmlPciInfo pci{};

		gpu.uuid = Uuid(device);
		Check("nvmlDeviceGetName", nvml->nvmlDeviceGetName(device, name, sizeof(name)));
		gpu.name = name;
		// integrated GPUs share the host's memory
		const int memory = nvml->nvmlDeviceGetMemoryInfo(device, &gpu.memory);
		gpu.has_memory = memory == NVML_SUCCESS;
		if (memory != NVML_ERROR_NOT_SUPPORTED)
			Check("nvmlDeviceGetMemoryInfo", memory);
		if (nvml->nvmlDeviceGetPciInfo_v3(device, &pci) == NVML_SUCCESS) {
			// as the kernel names devices: four digits of domain, lower case
			char text[32];

			snprintf(text, sizeof(text), "%04x:%02x:%02x.0", pci.domain, pci.bus,
				 pci.device);
			gpu.pci = text;
		}
		gpu.generation = Link(nvml->nvmlDeviceGetCurrPcieLinkGeneration, device);
		gpu.width = Link(nvml->nvmlDeviceGetCurrPcieLinkWidth, device);
		gpu.max_generation = Link(nvml->nvmlDeviceGetMaxPcieLinkGeneration, device);
		gpu.max_width = Link(nvml->nvmlDeviceGetMaxPcieLinkWidth, device);
		return gpu;
	}

	static unsigned int Link(int (*ask)(NvmlDevice, unsigned int *), NvmlDevice device)
	{
		unsigned int value = 0;

		return ask(device, &value) == NVML_SUCCESS ? value : 0;
	}

	static Napi::Value OrNull(Napi::Env env, unsigned int value)
	{
		return value ? Napi::Value(Napi::Number::New(env, value)) : Napi::Value(env.Null());
	}

	static Napi::Object ObjectOf(Napi::Env env, const Gpu &gpu)
	{
		Napi::Object object = Napi::Object::New(env);

		object.Set("uuid", gpu.uuid);
		object.Set("name", gpu.name);
		object.Set("pciAddress", gpu.pci.empty()
						 ? Napi::Value(env.Null())
						 : Napi::Value(Napi::String::New(env, gpu.pci)));
		if (gpu.has_memory) {
			Napi::Object memory = Napi::Object::New(env);

			memory.Set("totalBytes", static_cast<double>(gpu.memory.total));
			memory.Set("freeBytes", static_cast<double>(gpu.memory.free));
			memory.Set("usedBytes", static_cast<double>(gpu.memory.used));
			object.Set("memory", memory);
		} else {
			object.Set("memory", env.Null());
		}
		object.Set("linkGeneration", OrNull(env, gpu.generation));
		object.Set("linkWidth", OrNull(env, gpu.width));
		object.Set("maxLinkGeneration", OrNull(env, gpu.max_generation));
		object.Set("maxLinkWidth", OrNull(env, gpu.max_width));
		return object;
	}

	std::string driver_version_;
	int cuda_version_ = 0;
	std::vector<Gpu> gpus_;
};

class Processes : public Query
{
      public:
	using Query::Query;

	Napi::Value Result(Napi::Env env) override
	{
		Napi::Array list = Napi::Array::New(env, found_.size());

		for (uint32_t i = 0; i < found_.size(); i++) {
			const NvmlProcessInfo &info = found_[i].info;
			Napi::Object process = Napi::Object::New(env);

			process.Set("pid", info.pid);
			process.Set("deviceUuid", found_[i].uuid);
			if (info.usedGpuMemory == ULLONG_MAX)
				process.Set("usedBytes", env.Null());
			else
				process.Set("usedBytes", static_cast<double>(info.usedGpuMemory));
			process.Set("gpuInstanceId", IdOrNull(env, info.gpuInstanceId));
			process.Set("computeInstanceId", IdOrNull(env, info.computeInstanceId));
			list.Set(i, process);
		}
		return list;
	}

      protected:
	void Ask() override
	{
		for (const auto &[device, uuid] : KnownDevices())
			for (const NvmlProcessInfo &info : On(device))
				found_.push_back({uuid, info});
	}

      private:
	// All bits set outside MIG.
	static Napi::Value IdOrNull(Napi::Env env, unsigned int id)
	{
		return id == UINT_MAX ? Napi::Value(env.Null())
				      : Napi::Value(Napi::Number::New(env, id));
	}

	struct Found {
		std::string uuid;
		NvmlProcessInfo info;
	};

	// Handles and UUIDs stay as they are until GPUs come or go: asked for once, because
	// processes are asked for often.
	std::vector<std::pair<NvmlDevice, std::string>> KnownDevices()
	{
		static std::mutex mutex;
		static auto *const known =
			new std::map<const Nvml *, std::vector<std::pair<NvmlDevice, std::string>>>;
		std::lock_guard<std::mutex> lock(mutex);
		auto &devices = (*known)[nvml];
		const unsigned int count = Count();

		if (devices.size() != count) {
			devices.clear();
			for (unsigned int i = 0; i < count; i++)
				devices.emplace_back(Device(i), Uuid(Device(i)));
		}
		return devices;
	}

	// Processes come and go between two calls: asked again until they fit.
	std::vector<NvmlProcessInfo> On(NvmlDevice device)
	{
		std::vector<NvmlProcessInfo> infos(16);

		for (;;) {
			unsigned int count = static_cast<unsigned int>(infos.size());
			const int result = nvml->nvmlDeviceGetComputeRunningProcesses_v3(
				device, &count, infos.data());

			if (result != NVML_ERROR_INSUFFICIENT_SIZE) {
				Check("nvmlDeviceGetComputeRunningProcesses_v3", result);
				infos.resize(count);
				return infos;
			}
			infos.resize(2 * static_cast<size_t>(count) + 16);
		}
	}

	std::vector<Found> found_;
};

std::vector<std::string> CandidatesOf(const Napi::CallbackInfo &info)
{
	std::vector<std::string> candidates;

	if (info.Length() < 1 || !info[0].IsArray())
		throw Napi::TypeError::New(info.Env(), "expected a list of libraries");
	const auto list = info[0].As<Napi::Array>();
	for (uint32_t i = 0; i < list.Length(); i++) {
		const Napi::Value path = list[i];

		if (!path.IsString())
			throw Napi::TypeError::New(info.Env(), "expected a list of libraries");
		candidates.push_back(path.As<Napi::String>().Utf8Value());
	}
	return candidates;
}

template <class T> Napi::Value Start(const Napi::CallbackInfo &info)
{
	return CompletionQueue::Start(info.Env(), std::make_unique<T>(CandidatesOf(info)));
}

} // namespace

void AddNvml(Napi::Env env, Napi::Object exports)
{
	exports.Set("devices", Napi::Function::New(env, Start<Devices>));
	exports.Set("deviceProcesses", Napi::Function::New(env, Start<Processes>));
}

} // namespace ccr
