# SPDX-License-Identifier: MIT
# The Node addon, criu_cuda.node; everything else in C is built by CMake (plugins-cuda).
{
  "targets": [
    {
      "target_name": "criu_cuda",
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
      "include_dirs": ["plugins-cuda"],
      "sources": [
        "native/binding.cc",
        "native/driver.cc",
        "native/executor.cc",
        "native/file_status.cc",
        "native/completion_queue.cc",
        "native/libc.cc",
        "native/nvml.cc",
        "native/nvml_query.cc",
        "native/probe.cc",
        "native/process_memory.cc",
        "native/readable.cc",
        "native/smaps.cc",
        "plugins-cuda/common/driver/driver.c"
      ],
      # A worker may be terminated while its addon throws: then nobody is to be told.
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags": ["-Wall", "-Wextra", "-Wno-unused-parameter", "-fvisibility=hidden"],
      "cflags_cc": ["-std=c++17"],
      # A thread may still be in the driver when the environment that loaded the addon is gone.
      "ldflags": ["-Wl,-z,nodelete", "-Wl,-z,now", "-Wl,-z,relro"],
      "libraries": ["-ldl"]
    }
  ]
}
