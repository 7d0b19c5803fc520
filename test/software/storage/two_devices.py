# SPDX-License-Identifier: MIT
"""A program with memory on two devices. SIGUSR1 makes it write the SHA-256 of all of it to the file argv[1].

CRIU_CUDA_DRIVER is the driver. argv[2] names the devices and what each has, as in "0:6,0:1,1:10" (the default): the
number of a device and MiB; with 0, it has a context there and no memory.
"""

import ctypes
import hashlib
import os
import random
import signal
import sys

MIB = 1 << 20
WORDS = (sys.argv[2] if len(sys.argv) > 2 else "0:6,0:1,1:10").split(",")
SIZES = [(int(device), int(mib) * MIB) for device, mib in (word.split(":") for word in WORDS)]

cuda = ctypes.CDLL(os.environ["CRIU_CUDA_DRIVER"])
memory = []


def check(result):
    assert result == 0, result


def context_of(device):
    context = ctypes.c_void_p()
    check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
    return context


def report():
    digest = hashlib.sha256()
    for context, address, size in memory:
        host = ctypes.create_string_buffer(size)
        check(cuda.cuCtxSetCurrent(context))
        check(cuda.cuMemcpyDtoH_v2(host, address, ctypes.c_size_t(size)))
        digest.update(host.raw)
        digest.update(str(address.value).encode())
    with open(sys.argv[1] + ".new", "w", encoding="ascii") as file:
        file.write(digest.hexdigest())
    os.rename(sys.argv[1] + ".new", sys.argv[1])


# before cuInit starts threads: the signal is for sigwait alone, and waits until that is called
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
check(cuda.cuInit(0))
for device, size in SIZES:
    address = ctypes.c_uint64()
    context = context_of(device)
    check(cuda.cuCtxSetCurrent(context))
    if not size:
        continue
    check(cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size)))
    bytes_ = random.Random(device * size).randbytes(size)
    check(cuda.cuMemcpyHtoD_v2(address, bytes_, ctypes.c_size_t(size)))
    memory.append((context, address, size))
report()
while True:
    signal.sigwait([signal.SIGUSR1])
    report()
