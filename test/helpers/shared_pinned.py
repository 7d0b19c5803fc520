# SPDX-License-Identifier: MIT
"""Two processes that share host memory of every kind and have registered all of it with CUDA.

Memory of kind `anonymous` is inherited, `file` is a file in /dev/shm, `unlinked` is one without a name, as NCCL's segments
are, and `memfd` is a memory file. Each process has it mapped by a call of its own (but for `anonymous`), and copies
between it and device memory. Serves requests at a Unix socket, one to a connection: `status` (pids and addresses),
`write SEED` (the child copies a pattern into all segments from its device), `check SEED` (both processes compare, by the
CPU and through their devices) and `quit`.
"""

import ctypes
import hashlib
import mmap
import os
import random
import signal
import socket
import sys

SIZE = 3 << 20
KINDS = ("anonymous", "file", "unlinked", "memfd")

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    assert result == 0, result


def pattern(seed, kind):
    """The bytes of a segment: nothing else on the machine has them."""
    return random.Random(f"{seed} {kind}").randbytes(SIZE)


def open_segment(kind, name):
    if kind == "anonymous":
        return -1
    if kind == "memfd":
        fd = os.memfd_create("shared-pinned")
    else:
        fd = os.open(f"/dev/shm/{name}-{kind}", os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, SIZE)
    return fd


class Member:
    """One of the processes: its mappings, which are registered, and its device memory."""

    def __init__(self, maps):
        self.maps = maps
        self.cuda = ctypes.CDLL(os.environ["CRIU_CUDA_DRIVER"])
        context = ctypes.c_void_p()
        check(self.cuda.cuInit(0))
        check(self.cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))
        check(self.cuda.cuCtxSetCurrent(context))
        self.device = ctypes.c_uint64()
        check(self.cuda.cuMemAlloc_v2(ctypes.byref(self.device), ctypes.c_size_t(SIZE)))
        for kind in KINDS:
            device_map = 3  # PORTABLE, DEVICEMAP
            check(self.cuda.cuMemHostRegister_v2(self.at(kind), ctypes.c_size_t(SIZE), device_map))

    def at(self, kind):
        return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(self.maps[kind])))

    def write(self, seed):
        for kind in KINDS:
            data = pattern(seed, kind)
            check(self.cuda.cuMemcpyHtoD_v2(self.device, data, ctypes.c_size_t(SIZE)))
            check(self.cuda.cuMemcpyDtoH_v2(self.at(kind), self.device, ctypes.c_size_t(SIZE)))

    def forget(self):
        """No copy of what the segments hold remains in the device; and there is none in freed memory, see main()."""
        check(self.cuda.cuMemsetD8_v2(self.device, ctypes.c_ubyte(0), ctypes.c_size_t(SIZE)))
        check(self.cuda.cuCtxSynchronize())

    def wrong(self, seed):
        """The kinds of memory that do not hold the pattern, as the CPU or as the device sees it."""
        copy = ctypes.create_string_buffer(SIZE)
        found = []
        for kind in KINDS:
            expected = hashlib.sha256(pattern(seed, kind)).digest()
            check(self.cuda.cuMemcpyHtoD_v2(self.device, self.at(kind), ctypes.c_size_t(SIZE)))
            check(self.cuda.cuMemcpyDtoH_v2(copy, self.device, ctypes.c_size_t(SIZE)))
            views = (hashlib.sha256(self.maps[kind][:]).digest(), hashlib.sha256(copy.raw).digest())
            if views != (expected, expected):
                found.append(kind)
        return found

    def answer(self, request):
        verb, _, seed = request.partition(" ")
        if verb == "write":
            self.write(seed)
        wrong = self.wrong(seed) if verb == "check" else []
        self.forget()
        addresses = " ".join(f"{kind}={self.at(kind).value:x}" for kind in KINDS)
        return f"error {os.getpid()}: {' '.join(wrong)}" if wrong else f"ok pid={os.getpid()} {addresses}"


def map_all(fds):
    return {kind: mmap.mmap(fd, SIZE, mmap.MAP_SHARED) for kind, fd in fds.items()}


def serve_parent(member, pipe):
    while request := pipe.recv(200).decode():
        pipe.send(member.answer(request).encode())
    os._exit(0)


def main():
    libc.mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD: large memory that is freed goes back to the system
    name, path = sys.argv[1], sys.argv[3]  # NAME --socket PATH
    fds = {kind: open_segment(kind, name) for kind in KINDS}
    anonymous = mmap.mmap(-1, SIZE, mmap.MAP_SHARED)
    own, pipe = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        own.close()
        member = Member({**map_all({k: f for k, f in fds.items() if f >= 0}), "anonymous": anonymous})
        pipe.send(b"ready")
        serve_parent(member, pipe)
    pipe.close()
    member = Member({**map_all({k: f for k, f in fds.items() if f >= 0}), "anonymous": anonymous})
    assert own.recv(200) == b"ready"
    os.unlink(f"/dev/shm/{name}-unlinked")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4)
    while True:
        connection, _ = listener.accept()
        with connection:
            request = connection.makefile("r").readline().strip()
            if request == "quit":
                return
            own.send(request.encode())
            child = own.recv(1000).decode()
            mine = child if request.startswith("write") else member.answer(request)
            connection.send((mine if child.startswith("ok") else child).encode() + b" child: " + child.encode() + b"\n")


main()
