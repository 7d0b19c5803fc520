// SPDX-License-Identifier: MIT
// Waits on the event loop until a descriptor becomes readable.
#ifndef CCR_NATIVE_READABLE_H
#define CCR_NATIVE_READABLE_H

#include <napi.h>
#include <uv.h>

#include <memory>

namespace ccr
{

// JS thread only. It owns itself until libuv has closed its handle, which may be after the last
// caller has forgotten it, and closes the handle when the environment ends.
class Readable
{
      public:
	// Calls `callback` once, without arguments. nullptr: `*error` is -errno.
	static std::shared_ptr<Readable> Watch(Napi::Env env, int fd, Napi::Function callback,
					       int *error);
	// The callback will not be called any more. Any number of times.
	void Stop();

	explicit Readable(Napi::Env env);

      private:
	static void OnEvent(uv_poll_t *handle, int status, int events);
	static void OnClosed(uv_handle_t *handle);
	static void OnCleanup(napi_async_cleanup_hook_handle hook, void *data);

	uv_poll_t handle_;
	const Napi::Env env_;
	Napi::FunctionReference callback_;
	std::unique_ptr<Napi::AsyncContext> context_;
	napi_async_cleanup_hook_handle hook_ = nullptr;
	std::shared_ptr<Readable> self_;
	bool is_closing_ = false;
};

} // namespace ccr

#endif
