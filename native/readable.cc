// SPDX-License-Identifier: MIT
#include "readable.h"

#include <utility>

namespace ccr
{

Readable::Readable(Napi::Env env) : env_(env)
{
}

std::shared_ptr<Readable> Readable::Watch(Napi::Env env, int fd, Napi::Function callback,
					  int *error)
{
	auto readable = std::make_shared<Readable>(env);
	uv_loop_t *loop = nullptr;

	NAPI_THROW_IF_FAILED(env, napi_get_uv_event_loop(env, &loop), nullptr);
	*error = uv_poll_init(loop, &readable->handle_, fd);
	if (*error)
		return nullptr;
	// from here on the handle is libuv's until it is closed
	readable->self_ = readable;
	readable->handle_.data = readable.get();
	readable->callback_ = Napi::Persistent(callback);
	readable->context_ = std::make_unique<Napi::AsyncContext>(env, "criu-cuda");
	// without the hook a worker that ends would leave its loop with an open handle
	napi_add_async_cleanup_hook(env, OnCleanup, readable.get(), &readable->hook_);
	*error = uv_poll_start(&readable->handle_, UV_READABLE, OnEvent);
	if (!*error)
		return readable;
	readable->Stop();
	return nullptr;
}

void Readable::Stop()
{
	if (is_closing_)
		return;
	is_closing_ = true;
	uv_close(reinterpret_cast<uv_handle_t *>(&handle_), OnClosed);
}

// An error counts as readable: a read then returns it.
void Readable::OnEvent(uv_poll_t *handle, int, int)
{
	std::shared_ptr<Readable> readable = static_cast<Readable *>(handle->data)->self_;
	Napi::HandleScope scope(readable->env_);
	Napi::Function callback = readable->callback_.Value();

	readable->Stop();
	try {
		callback.MakeCallback(readable->env_.Global(), std::initializer_list<napi_value>{},
				      *readable->context_);
	} catch (const Napi::Error &) {
		// lib/native's callback throws nothing: a worker is being terminated
	}
}

void Readable::OnClosed(uv_handle_t *handle)
{
	std::shared_ptr<Readable> readable =
		std::move(static_cast<Readable *>(handle->data)->self_);
	Napi::HandleScope scope(readable->env_);

	readable->callback_.Reset();
	readable->context_.reset();
	if (readable->hook_)
		napi_remove_async_cleanup_hook(readable->hook_);
}

void Readable::OnCleanup(napi_async_cleanup_hook_handle, void *data)
{
	static_cast<Readable *>(data)->Stop();
}

} // namespace ccr
