# SPDX-License-Identifier: MIT
"""Device memory with random bytes, of which every byte is compared: by the driver's calls alone, so that it works without torch."""

import ctypes
import os
import random

PIECE = 256 << 20
BLOCK = 16 << 20


class DeviceMemory:
    """`size` bytes on a device, in pieces of 256 MiB; each block of 16 MiB has another content."""

    def __init__(self, device, size):
        self.cuda = ctypes.CDLL(os.environ.get("CRIU_CUDA_DRIVER") or "libcuda.so.1")
        context, handle = ctypes.c_void_p(), ctypes.c_int()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(handle), device)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
        self.call("cuCtxSetCurrent", context)
        self.content = ctypes.create_string_buffer(random.Random(device).randbytes(BLOCK), BLOCK)
        self.number = ctypes.c_uint64.from_buffer(self.content)
        self.host = ctypes.create_string_buffer(BLOCK)
        self.memcmp = ctypes.CDLL(None).memcmp
        self.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self.blocks = []
        for begin in range(0, size, PIECE):
            self.add(min(PIECE, size - begin))

    def call(self, name, *arguments):
        result = getattr(self.cuda, name)(*arguments)
        if result != 0:
            raise RuntimeError(f"{name}: {result}")

    def add(self, size):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        for offset in range(0, size, BLOCK):
            block = (address.value + offset, min(BLOCK, size - offset))
            self.number.value = len(self.blocks)
            self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(block[0]), self.content, ctypes.c_size_t(block[1]))
            self.blocks.append(block)

    def read(self, address, size):
        self.call("cuMemcpyDtoH_v2", self.host, ctypes.c_uint64(address), ctypes.c_size_t(size))

    def touch(self):
        """Reads the last bytes: returns once all memory is there."""
        if self.blocks:
            address, size = self.blocks[-1]
            self.read(address + size - 8, 8)

    def check(self):
        """Returns None, or which block is wrong."""
        for number, (address, size) in enumerate(self.blocks):
            self.read(address, size)
            self.number.value = number
            if self.memcmp(self.host, self.content, size) != 0:
                return f"block {number} at {address:#x} has other bytes"
        return None
