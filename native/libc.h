// SPDX-License-Identifier: MIT
// The system calls Node has no API for. All are short and run on the JS thread; a failed one
// returns -errno, to which lib/native/libc.ts gives a name.
#ifndef CCR_NATIVE_LIBC_H
#define CCR_NATIVE_LIBC_H

#include <napi.h>

namespace ccr
{

// Adds getChildSubreaper, setChildSubreaper, pidfdOpen, flock, seekData, waitpid,
// onReadable and execv.
void AddLibc(Napi::Env env, Napi::Object exports);

} // namespace ccr

#endif
