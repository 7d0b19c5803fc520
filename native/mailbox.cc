// SPDX-License-Identifier: MIT
#include "mailbox.h"

#include <system_error>
#include <utility>

#include "executor.h"

namespace ccr
{
namespace
{

using Shared = std::shared_ptr<Mailbox>;

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

void Mailbox::Open(Napi::Env env)
{
	auto mailbox = std::make_shared<Mailbox>();
	napi_status status = napi_create_threadsafe_function(
		env, nullptr, nullptr, Napi::String::New(env, "criu-cuda"), 0, 1, nullptr, nullptr,
		nullptr, Deliver, &mailbox->function_);

	NAPI_THROW_IF_FAILED_VOID(env, status);
	napi_unref_threadsafe_function(env, mailbox->function_);
	env.SetInstanceData<Shared>(new Shared(mailbox));
	// Hooks run in reverse order: this one before the function's own.
	env.AddCleanupHook([mailbox] { mailbox->Close(); });
}

Napi::Promise Mailbox::Start(Napi::Env env, std::unique_ptr<Operation> operation)
{
	Shared mailbox = *env.GetInstanceData<Shared>();
	auto deferred = Napi::Promise::Deferred::New(env);
	// std::function wants something that can be copied
	auto letter = std::make_shared<std::unique_ptr<Letter>>(
		new Letter{std::move(operation), deferred, mailbox});

	try {
		Execute([letter] {
			std::unique_ptr<Letter> mine = std::move(*letter);

			mine->operation->Run();
			Shared to = mine->mailbox;
			to->Post(std::move(mine));
		});
	} catch (const std::system_error &error) {
		deferred.Reject(
			ErrorOf(env, {"open", std::string("no thread: ") + error.what(), "", 0}));
		return deferred.Promise();
	}
	if (mailbox->under_way_++ == 0)
		napi_ref_threadsafe_function(env, mailbox->function_);
	return deferred.Promise();
}

void Mailbox::Post(std::unique_ptr<Letter> letter)
{
	{
		std::lock_guard<std::mutex> lock(mutex_);

		if (!is_closed_ &&
		    napi_call_threadsafe_function(function_, letter.get(), napi_tsfn_nonblocking) ==
			    napi_ok) {
			letter.release();
			return;
		}
	}
	letter->operation->Abandon();
}

void Mailbox::Close()
{
	std::lock_guard<std::mutex> lock(mutex_);

	is_closed_ = true;
}

void Mailbox::Deliver(napi_env raw_env, napi_value, void *, void *data)
{
	std::unique_ptr<Letter> letter(static_cast<Letter *>(data));

	// without an environment the queue is only being emptied
	if (!raw_env) {
		letter->operation->Abandon();
		return;
	}
	Napi::Env env(raw_env);
	Napi::HandleScope scope(env);
	Mailbox &mailbox = *letter->mailbox;

	if (--mailbox.under_way_ == 0)
		napi_unref_threadsafe_function(env, mailbox.function_);
	try {
		if (letter->operation->failure)
			letter->deferred.Reject(ErrorOf(env, *letter->operation->failure));
		else
			letter->deferred.Resolve(letter->operation->Result(env));
	} catch (const Napi::Error &) {
		// a worker that is being terminated runs no JavaScript any more: nothing to settle
		letter->operation->Abandon();
	}
}

} // namespace ccr
