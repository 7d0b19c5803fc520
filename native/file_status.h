// SPDX-License-Identifier: MIT
// What is at many paths, asked for at once.
#ifndef CCR_NATIVE_FILE_STATUS_H
#define CCR_NATIVE_FILE_STATUS_H

#include <napi.h>

namespace ccr
{

// Adds fileStatus(paths): a Float64Array with the numbers that lib/native/types.ts names for each
// of the paths, which are in one string, each with a NUL behind it. Links are not followed.
void AddFileStatus(Napi::Env env, Napi::Object exports);

} // namespace ccr

#endif
