// SPDX-License-Identifier: MIT
#include "driver.h"

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "completion_queue.h"

extern "C" {
#include "common/driver/driver.h"
}

namespace ccr
{
namespace
{

// Drivers stay open for good, since libcuda does not survive dlclose: one per path that was asked
// for.
std::mutex drivers_mutex;

// nullptr: `failure` has what ccr_driver_open says; its result is an errno.
const ccr_driver *OpenDriver(const std::string &path, std::optional<Failure> *failure)
{
	static auto *const drivers = new std::map<std::string, std::unique_ptr<ccr_driver>>;
	std::lock_guard<std::mutex> lock(drivers_mutex);
	auto known = drivers->find(path);

	if (known != drivers->end())
		return known->second.get();
	auto driver = std::make_unique<ccr_driver>();
	char text[512];
	const int result = ccr_driver_open(driver.get(), path.c_str(), text, sizeof(text));
	if (result) {
		*failure = Failure{"open", text, path.empty() ? "libcuda.so.1" : path, -result};
		return nullptr;
	}
	return drivers->emplace(path, std::move(driver)).first->second.get();
}

class Open : public Operation
{
      public:
	explicit Open(std::string path) : path_(std::move(path))
	{
	}

	void Run() override
	{
		driver_ = OpenDriver(path_, &failure);
	}

	Napi::Value Result(Napi::Env env) override
	{
		Napi::Object result = Napi::Object::New(env);

		result.Set("path", driver_->path);
		result.Set("version", driver_->version);
		result.Set("handle",
			   Napi::External<ccr_driver>::New(env, const_cast<ccr_driver *>(driver_)));
		return result;
	}

      private:
	std::string path_;
	const ccr_driver *driver_ = nullptr;
};

// A call that answers { result, value }.
class Call : public Operation
{
      public:
	using Function = std::function<CUresult(int *value)>;

	explicit Call(Function run, std::function<void()> undo = nullptr)
	    : run_(std::move(run)), undo_(std::move(undo))
	{
	}

	void Run() override
	{
		result_ = run_(&value_);
	}

	void Abandon() override
	{
		if (undo_ && result_ == CUDA_SUCCESS)
			undo_();
	}

	Napi::Value Result(Napi::Env env) override
	{
		Napi::Object answer = Napi::Object::New(env);

		answer.Set("result", static_cast<int>(result_));
		answer.Set("value", value_);
		return answer;
	}

      private:
	Function run_;
	std::function<void()> undo_;
	CUresult result_ = CUDA_SUCCESS;
	int value_ = 0;
};

// Arguments of every call on a process: the driver's handle and the pid.
struct Target {
	explicit Target(const Napi::CallbackInfo &info)
	{
		if (info.Length() < 2 || !info[0].IsExternal() || !info[1].IsNumber())
			throw Napi::TypeError::New(info.Env(), "expected a driver and a pid");
		driver = info[0].As<Napi::External<ccr_driver>>().Data();
		pid = info[1].As<Napi::Number>().Int32Value();
	}

	const ccr_driver *driver;
	int pid;
};

Napi::Value OpenDriverAsync(const Napi::CallbackInfo &info)
{
	if (info.Length() < 1 || !info[0].IsString())
		throw Napi::TypeError::New(info.Env(), "expected a path");
	return CompletionQueue::Start(
		info.Env(), std::make_unique<Open>(info[0].As<Napi::String>().Utf8Value()));
}

Napi::Value State(const Napi::CallbackInfo &info)
{
	const Target to(info);
	return CompletionQueue::Start(info.Env(), std::make_unique<Call>([to](int *value) {
					      CUprocessState state = CU_PROCESS_STATE_RUNNING;
					      const CUresult result =
						      to.driver->cuCheckpointProcessGetState(
							      to.pid, &state);
					      *value = static_cast<int>(state);
					      return result;
				      }));
}

Napi::Value RestoreThreadId(const Napi::CallbackInfo &info)
{
	const Target to(info);
	return CompletionQueue::Start(
		info.Env(), std::make_unique<Call>([to](int *value) {
			return to.driver->cuCheckpointProcessGetRestoreThreadId(to.pid, value);
		}));
}

CUresult UnlockNow(const Target &to)
{
	return to.driver->cuCheckpointProcessUnlock(to.pid, nullptr);
}

// A lock that nobody knows of would block the process forever.
Napi::Value Lock(const Napi::CallbackInfo &info)
{
	const Target to(info);
	if (info.Length() < 3 || !info[2].IsNumber())
		throw Napi::TypeError::New(info.Env(), "expected a timeout in milliseconds");
	const unsigned int timeout_ms = info[2].As<Napi::Number>().Uint32Value();
	auto lock = [to, timeout_ms](int *) {
		CUcheckpointLockArgs args;

		memset(&args, 0, sizeof(args));
		args.timeoutMs = timeout_ms;
		return to.driver->cuCheckpointProcessLock(to.pid, &args);
	};
	return CompletionQueue::Start(info.Env(),
				      std::make_unique<Call>(lock, [to] { UnlockNow(to); }));
}

Napi::Value Checkpoint(const Napi::CallbackInfo &info)
{
	const Target to(info);
	return CompletionQueue::Start(info.Env(), std::make_unique<Call>([to](int *) {
					      return to.driver->cuCheckpointProcessCheckpoint(
						      to.pid, nullptr);
				      }));
}

// Third argument: the pairs as bytes, 16 of the old UUID and 16 of the new one each.
std::vector<CUcheckpointGpuPair> PairsOf(const Napi::CallbackInfo &info)
{
	if (info.Length() < 3 || !info[2].IsTypedArray())
		throw Napi::TypeError::New(info.Env(), "expected the pairs of GPUs as bytes");
	auto bytes = info[2].As<Napi::Uint8Array>();
	std::vector<CUcheckpointGpuPair> pairs(bytes.ByteLength() / sizeof(CUcheckpointGpuPair));

	if (pairs.size() * sizeof(CUcheckpointGpuPair) != bytes.ByteLength())
		throw Napi::TypeError::New(info.Env(), "a pair of GPUs has 32 bytes");
	if (!pairs.empty())
		memcpy(pairs.data(), bytes.Data(), bytes.ByteLength());
	return pairs;
}

Napi::Value Restore(const Napi::CallbackInfo &info)
{
	const Target to(info);
	return CompletionQueue::Start(
		info.Env(), std::make_unique<Call>([to, pairs = PairsOf(info)](int *) mutable {
			CUcheckpointRestoreArgs args;

			memset(&args, 0, sizeof(args));
			args.gpuPairs = pairs.data();
			args.gpuPairsCount = static_cast<unsigned int>(pairs.size());
			return to.driver->cuCheckpointProcessRestore(to.pid, pairs.empty() ? nullptr
											   : &args);
		}));
}

Napi::Value Unlock(const Napi::CallbackInfo &info)
{
	const Target to(info);
	return CompletionQueue::Start(
		info.Env(), std::make_unique<Call>([to](int *) { return UnlockNow(to); }));
}

} // namespace

void AddDriver(Napi::Env env, Napi::Object exports)
{
	exports.Set("openDriver", Napi::Function::New(env, OpenDriverAsync));
	exports.Set("state", Napi::Function::New(env, State));
	exports.Set("restoreThreadId", Napi::Function::New(env, RestoreThreadId));
	exports.Set("lock", Napi::Function::New(env, Lock));
	exports.Set("checkpoint", Napi::Function::New(env, Checkpoint));
	exports.Set("restore", Napi::Function::New(env, Restore));
	exports.Set("unlock", Napi::Function::New(env, Unlock));
}

} // namespace ccr
