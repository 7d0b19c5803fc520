// SPDX-License-Identifier: MIT
// From an operation on a thread of the executor back to a promise. One queue per environment
// (main thread or worker); it keeps the event loop alive only while something is under way. An
// environment that ends closes it: operations still running then find nobody to tell, and are told
// so.
#ifndef CCR_NATIVE_COMPLETION_QUEUE_H
#define CCR_NATIVE_COMPLETION_QUEUE_H

#include <napi.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace ccr
{

// Why an operation could not be done: becomes properties of the Error that rejects the promise.
struct Failure {
	// "open": a library is missing or too old; "nvml": a call into NVML failed, `result` is its
	// nvmlReturn_t; "system": a file could not be read; else `result` is an errno
	std::string kind;
	std::string message;
	std::string call;
	int result = 0;
};

class Operation
{
      public:
	virtual ~Operation() = default;
	// On a thread of the executor. May set `failure`.
	virtual void Run() = 0;
	// After Run, when the environment that asked is gone or going: undoes what nobody knows of.
	// Any thread.
	virtual void Abandon()
	{
	}
	// JS thread, only without a failure.
	virtual Napi::Value Result(Napi::Env env) = 0;

	std::optional<Failure> failure;
};

class CompletionQueue
{
      public:
	// JS thread, once per environment.
	static void Open(Napi::Env env);
	// JS thread. Runs the operation on another thread; the promise settles with its result.
	static Napi::Promise Start(Napi::Env env, std::unique_ptr<Operation> operation);

      private:
	struct Completion {
		std::unique_ptr<Operation> operation;
		Napi::Promise::Deferred deferred;
		std::shared_ptr<CompletionQueue> queue;
	};
	static void Deliver(napi_env env, napi_value, void *, void *data);
	void Post(std::unique_ptr<Completion> completion);
	void Close();

	std::mutex mutex_; // guards function_ against the end of the environment
	napi_threadsafe_function function_ = nullptr;
	bool is_closed_ = false;
	unsigned int under_way_ = 0; // JS thread only
};

} // namespace ccr

#endif
