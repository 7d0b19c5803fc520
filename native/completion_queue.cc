// SPDX-License-Identifier: MIT
#include "completion_queue.h"

#include <system_error>
#include <utility>

#include "executor.h"

namespace ccr
{
namespace
{

using Shared = std::shared_ptr<CompletionQueue>;

Napi::Value ErrorOf(Napi::Env env, const Failure &failure)
{
	Napi::Object error = Napi::Error::New(env, failure.message).Value();

	error.Set("kind", failure.kind);
	if (!failure.call.empty()) {
		error.Set("call", failure.call);
		error.Set("result", failure.result);
	}
	return error;
}

} // namespace

void CompletionQueue::Open(Napi::Env env)
{
	auto queue = std::make_shared<CompletionQueue>();
	napi_status status = napi_create_threadsafe_function(
		env, nullptr, nullptr, Napi::String::New(env, "criu-cuda"), 0, 1, nullptr, nullptr,
		nullptr, Deliver, &queue->function_);

	NAPI_THROW_IF_FAILED_VOID(env, status);
	napi_unref_threadsafe_function(env, queue->function_);
	env.SetInstanceData<Shared>(new Shared(queue));
	// Hooks run in reverse order: this one before the function's own.
	env.AddCleanupHook([queue] { queue->Close(); });
}

Napi::Promise CompletionQueue::Start(Napi::Env env, std::unique_ptr<Operation> operation)
{
	Shared queue = *env.GetInstanceData<Shared>();
	auto deferred = Napi::Promise::Deferred::New(env);
	// std::function wants something that can be copied
	auto completion = std::make_shared<std::unique_ptr<Completion>>(
		new Completion{std::move(operation), deferred, queue});

	try {
		Execute([completion] {
			std::unique_ptr<Completion> mine = std::move(*completion);

			mine->operation->Run();
			Shared to = mine->queue;
			to->Post(std::move(mine));
		});
	} catch (const std::system_error &error) {
		deferred.Reject(
			ErrorOf(env, {"open", std::string("no thread: ") + error.what(), "", 0}));
		return deferred.Promise();
	}
	if (queue->under_way_++ == 0)
		napi_ref_threadsafe_function(env, queue->function_);
	return deferred.Promise();
}

void CompletionQueue::Post(std::unique_ptr<Completion> completion)
{
	{
		std::lock_guard<std::mutex> lock(mutex_);

		if (!is_closed_ &&
		    napi_call_threadsafe_function(function_, completion.get(),
						  napi_tsfn_nonblocking) == napi_ok) {
			completion.release();
			return;
		}
	}
	completion->operation->Abandon();
}

void CompletionQueue::Close()
{
	std::lock_guard<std::mutex> lock(mutex_);

	is_closed_ = true;
}

void CompletionQueue::Deliver(napi_env raw_env, napi_value, void *, void *data)
{
	std::unique_ptr<Completion> completion(static_cast<Completion *>(data));

	// without an environment the queue is only being emptied
	if (!raw_env) {
		completion->operation->Abandon();
		return;
	}
	Napi::Env env(raw_env);
	Napi::HandleScope scope(env);
	CompletionQueue &queue = *completion->queue;

	if (--queue.under_way_ == 0)
		napi_unref_threadsafe_function(env, queue.function_);
	try {
		if (completion->operation->failure)
			completion->deferred.Reject(ErrorOf(env, *completion->operation->failure));
		else
			completion->deferred.Resolve(completion->operation->Result(env));
	} catch (const Napi::Error &) {
		// a worker that is being terminated runs no JavaScript any more: nothing to resolve
		completion->operation->Abandon();
	}
}

} // namespace ccr
