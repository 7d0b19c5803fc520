# SPDX-License-Identifier: MIT
"""A CUDA program with 96 MiB of private host memory. Prints its address and "ready", then waits.

Arguments: `register` registers 2 MiB of it with the driver; `filter` installs a seccomp filter that forbids
userfaultfd. CRIU_CUDA_DRIVER is the driver.
"""

import ctypes
import mmap
import os
import signal
import struct
import sys

SIZE = 96 << 20
USERFAULTFD = {"x86_64": 323, "aarch64": 282}[os.uname().machine]

libc = ctypes.CDLL(None, use_errno=True)
cuda = ctypes.CDLL(os.environ["CRIU_CUDA_DRIVER"])


def check(result):
    assert result == 0, result


def forbid_userfaultfd():
    """A system call with this number ends the process."""
    code = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),  # load the number
            (0x15, 0, 1, USERFAULTFD),
            (0x06, 0, 0, 0x80000000),  # SECCOMP_RET_KILL_PROCESS
            (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
        )
    )
    program = ctypes.create_string_buffer(code)
    head = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(program))
    check(libc.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
    check(libc.prctl(22, 2, head))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


context = ctypes.c_void_p()
check(cuda.cuInit(0))
check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))
check(cuda.cuCtxSetCurrent(context))
memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
piece = os.urandom(1 << 20)
for at in range(0, SIZE, 2 << 20):  # every other MiB has no pages
    memory[at : at + len(piece)] = piece
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
if "register" in sys.argv:
    check(cuda.cuMemHostRegister_v2(ctypes.c_void_p(address), ctypes.c_size_t(2 << 20), 0))
if "filter" in sys.argv:
    forbid_userfaultfd()
os.write(1, f"{address:x} ready\n".encode())  # at once: the reader may close its end then
signal.pause()
