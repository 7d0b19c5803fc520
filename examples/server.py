# SPDX-License-Identifier: MIT
"""A server with memory on the GPU, for trying a checkpoint out. It needs only Python and a CUDA driver.

    python3 server.py [PORT]

Each request writes one more number to the GPU, and is answered with how many there are and the sum of those that the
GPU has: `curl http://127.0.0.1:8000` prints `3 requests, their sum is 6`.
"""

import array
import ctypes
import http.server
import os
import sys

SIZE = 64 << 20
NUMBER = 8  # bytes

cuda = ctypes.CDLL(os.environ.get("CRIU_CUDA_DRIVER", "libcuda.so.1"))


def call(name, *arguments):
    result = getattr(cuda, name)(*arguments)
    if result != 0:
        raise RuntimeError(f"{name} failed with CUDA error {result}")


class GpuNumbers:
    def __init__(self):
        context, self.address, self.count = ctypes.c_void_p(), ctypes.c_uint64(), 0
        call("cuInit", 0)
        call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.context = context
        call("cuCtxSetCurrent", context)
        call("cuMemAlloc_v2", ctypes.byref(self.address), ctypes.c_size_t(SIZE))

    def append(self, number):
        place = ctypes.c_uint64(self.address.value + self.count * NUMBER)
        call("cuMemcpyHtoD_v2", place, ctypes.byref(ctypes.c_uint64(number)), ctypes.c_size_t(NUMBER))
        self.count += 1

    def sum(self):
        numbers = array.array("Q", bytes(self.count * NUMBER))
        size = ctypes.c_size_t(self.count * NUMBER)
        call("cuMemcpyDtoH_v2", ctypes.c_void_p(numbers.buffer_info()[0]), self.address, size)
        return sum(numbers)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        numbers.append(numbers.count + 1)
        answer = f"{numbers.count} requests, their sum is {numbers.sum()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


numbers = GpuNumbers()
port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
