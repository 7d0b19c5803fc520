# SPDX-License-Identifier: MIT
"""Device memory with random contents, through the driver's own calls."""

import ctypes
import hashlib
import os

BYTES = 8 << 20


def check(result):
    assert result == 0, result


class DeviceMemory:
    def __init__(self):
        self.driver = ctypes.CDLL("libcuda.so.1")
        self.address = ctypes.c_uint64()
        context = ctypes.c_void_p()
        check(self.driver.cuInit(0))
        check(self.driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))
        check(self.driver.cuCtxSetCurrent(context))
        check(self.driver.cuMemAlloc_v2(ctypes.byref(self.address), ctypes.c_size_t(BYTES)))
        check(self.driver.cuMemcpyHtoD_v2(self.address, os.urandom(BYTES), ctypes.c_size_t(BYTES)))

    def sum(self):
        copy = ctypes.create_string_buffer(BYTES)
        check(self.driver.cuMemcpyDtoH_v2(copy, self.address, ctypes.c_size_t(BYTES)))
        return hashlib.sha256(copy.raw).hexdigest()
