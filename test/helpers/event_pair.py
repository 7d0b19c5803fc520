# SPDX-License-Identifier: MIT
"""Two processes that share events, and memory, by CUDA IPC, and do one step at a time.

The first process does not use CUDA. It serves requests at a Unix socket, one to a connection, and answers `ok RESULT` or `error ...`:
`a STEP ...` and `b STEP ...` for the processes, `pids`, `status`, and `quit`. Steps (S is a stream: 0 is the default one, 1 and 2 do not wait for it):

    event N        makes event N         fill S VALUE   a kernel fills the memory         query N    0, or the error of cuEventQuery
    open N         opens the other's     read S         copies a word of it to the host   done S     0, or the error of cuStreamQuery
    destroy N                            word           what was copied last              sync N
    record N S     await S N             hold S         nothing in S runs before          drain S
                                         release S      this
"""

import ctypes
import os
import signal
import socket
import sys

BYTES, STREAMS, NOT_READY = 4 << 20, 3, 600
FLAG, WORD = 0, 8  # offsets in pinned memory: a flag for each stream follows the first

libc = ctypes.CDLL(None)


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_ubyte * 64)]  # passed by value, on the stack


def check(result, what="call"):
    if result:
        raise OSError(f"{what}: {result}")


class Side:
    """A process. What it makes, the other opens by the handles that `offers` has."""

    def __init__(self):
        self.cuda = ctypes.CDLL(os.environ.get("CRIU_CUDA_DRIVER", "libcuda.so.1"))
        context, self.host = ctypes.c_void_p(), ctypes.c_void_p()
        check(self.cuda.cuInit(0), "cuInit")
        check(self.cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), "cuDevicePrimaryCtxRetain")
        check(self.cuda.cuCtxSetCurrent(context))
        check(self.cuda.cuMemHostAlloc(ctypes.byref(self.host), ctypes.c_size_t(4096), ctypes.c_uint(3)), "cuMemHostAlloc")
        self.streams = [ctypes.c_void_p() for _ in range(STREAMS)]
        for one in self.streams[1:]:
            check(self.cuda.cuStreamCreate(ctypes.byref(one), ctypes.c_uint(1)), "cuStreamCreate")
        self.events, self.memory = {}, ctypes.c_uint64()

    def word_at(self, offset):
        return ctypes.c_uint64.from_address(self.host.value + offset)

    def make_memory(self):
        handle = Handle()
        check(self.cuda.cuMemAlloc_v2(ctypes.byref(self.memory), ctypes.c_size_t(BYTES)), "cuMemAlloc")
        check(self.cuda.cuIpcGetMemHandle(ctypes.byref(handle), self.memory), "cuIpcGetMemHandle")
        return bytes(handle)

    def open_memory(self, handle):
        value = Handle.from_buffer_copy(handle)
        check(self.cuda.cuIpcOpenMemHandle_v2(ctypes.byref(self.memory), value, ctypes.c_uint(1)), "cuIpcOpenMemHandle")

    def event(self, n):
        event, handle = ctypes.c_void_p(), Handle()
        check(self.cuda.cuEventCreate(ctypes.byref(event), ctypes.c_uint(7)), "cuEventCreate")
        check(self.cuda.cuIpcGetEventHandle(ctypes.byref(handle), event), "cuIpcGetEventHandle")
        self.events[n] = event
        return bytes(handle).hex()

    def open(self, n, handle):
        event = ctypes.c_void_p()
        value = Handle.from_buffer_copy(bytes.fromhex(handle))
        check(self.cuda.cuIpcOpenEventHandle(ctypes.byref(event), value), "cuIpcOpenEventHandle")
        self.events[n] = event

    def destroy(self, n):
        check(self.cuda.cuEventDestroy_v2(self.events.pop(n)), "cuEventDestroy")

    def record(self, n, s):
        check(self.cuda.cuEventRecord(self.events[n], self.streams[s]), "cuEventRecord")

    def await_(self, s, n):
        check(self.cuda.cuStreamWaitEvent(self.streams[s], self.events[n], ctypes.c_uint(0)), "cuStreamWaitEvent")

    def query(self, n):
        return self.cuda.cuEventQuery(self.events[n])

    def sync(self, n):
        check(self.cuda.cuEventSynchronize(self.events[n]), "cuEventSynchronize")

    def done(self, s):
        return self.cuda.cuStreamQuery(self.streams[s])

    def drain(self, s):
        check(self.cuda.cuStreamSynchronize(self.streams[s]), "cuStreamSynchronize")

    def hold(self, s):
        self.word_at(8 * s).value = 0
        at = ctypes.c_uint64(self.host.value + 8 * s)
        check(self.cuda.cuStreamWaitValue64_v2(self.streams[s], at, ctypes.c_uint64(1), ctypes.c_uint(0)), "cuStreamWaitValue64")

    def release(self, s):
        self.word_at(8 * s).value = 1

    def fill(self, s, value):
        check(
            self.cuda.cuMemsetD32Async(self.memory, ctypes.c_uint(value), ctypes.c_size_t(BYTES // 4), self.streams[s]),
            "cuMemsetD32Async",
        )

    def read(self, s):
        at, last = ctypes.c_void_p(self.host.value + 1024), ctypes.c_uint64(self.memory.value + BYTES - 8)
        check(self.cuda.cuMemcpyDtoHAsync_v2(at, last, ctypes.c_size_t(4), self.streams[s]), "cuMemcpyDtoHAsync")

    def word(self):
        return self.word_at(1024).value & 0xFFFFFFFF


def serve(channel, opens):
    side = Side()
    channel.send(b"" if opens else side.make_memory())
    if opens:
        side.open_memory(channel.recv(64))
    while request := channel.recv(4096).decode():
        verb, *arguments = request.split()
        try:
            numbers = [int(one) if len(one) < 64 else one for one in arguments]
            result = getattr(side, "await_" if verb == "await" else verb)(*numbers)
            answer = f"ok {'' if result is None else result}".strip()
        except Exception as error:
            answer = f"error {verb}: {error}"
        channel.send(answer.encode())


def start(opens):
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        here.close()
        try:
            serve(there, opens)
        finally:
            os._exit(1)
    there.close()
    return here, pid


class Pair:
    def __init__(self):
        (a, pid_a), (b, pid_b) = start(False), start(True)
        self.sides, self.pids, self.handles = {"a": a, "b": b}, (pid_a, pid_b), {}
        b.recv(64)
        b.send(a.recv(64))

    def answer(self, request):
        who, _, step = request.partition(" ")
        if who == "status":
            return "ok"
        if who == "pids":
            return f"ok {self.pids[0]} {self.pids[1]}"
        verb, _, argument = step.partition(" ")
        if verb == "open":
            step += " " + self.handles[argument]
        self.sides[who].send(step.encode())
        answer = self.sides[who].recv(4096).decode()
        if verb == "event" and answer.startswith("ok "):
            self.handles[argument] = answer[3:]
            return "ok"
        return answer or "error the process has ended"


def main():
    pair = Pair()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[2])  # --socket PATH
    listener.listen(4)
    while True:
        connection, _ = listener.accept()
        with connection:
            request = connection.makefile("r").readline().strip()
            if request == "quit":
                return
            connection.send((pair.answer(request) + "\n").encode())


main()
