// SPDX-License-Identifier: MIT
// Threads for calls that may take long. Not libuv's pool: it has four threads, which the program's
// own file operations need, and the end of the process would wait for a call that hangs in a
// driver. Threads are made when none is idle, up to a limit, and stay; more work than threads waits
// in order.
#ifndef CCR_NATIVE_EXECUTOR_H
#define CCR_NATIVE_EXECUTOR_H

#include <functional>

namespace ccr
{

// Any thread. Throws std::system_error when it cannot create the first thread.
void Execute(std::function<void()> work);

} // namespace ccr

#endif
