# SPDX-License-Identifier: MIT
"""A producer that passes tensors in device memory to a consumer by CUDA IPC, as torch.multiprocessing does.

The producer fills a part of one of its blocks with a kernel and sends the block's handle, the offset and (after `events on`)
the handle of an event that it has recorded. The consumer opens the handle, keeps the last ones open, waits for the event, and
compares the checksum that a kernel computes with what it has to be. So at any time some handles are open, some are on their
way, and some are being made. After `events each`, every tensor has an event of its own, which the producer destroys when the tensor
has arrived, and the consumer never, as PyTorch's. The first process does not use CUDA. It serves requests at a Unix socket, one to a
connection: `status`, `start`, `await N` (until N tensors have arrived), `stop`, `events on`, `events each`, `events off` and `quit`.
"""

import ctypes
import mmap
import os
import signal
import socket
import struct
import sys
import time

BLOCK, BLOCKS, KEPT, WORDS = 4 << 20, 4, 2, 4096
MASK = (1 << 64) - 1
PTX = b""".version 7.0
.target sm_70
.address_size 64
.visible .entry ccr_fill_u64(.param .u64 a){ret;}
.visible .entry ccr_checksum_u64(.param .u64 a){ret;}
"""
ITEM = struct.Struct("QQ64s64sB")
NAMES = ("wanted", "sent", "arrived", "events", "failed")
OFF, ONE, EACH = 0, 1, 2  # events

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    assert result == 0, result


def mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def sequence(n, salt):
    return mix((n * 0x9E3779B97F4A7C15 + salt) & MASK)


def constants():
    """The checksum of a tensor filled with `key` is first + key * second; see plugins-cuda/common/kernels.h."""
    weights = [(sequence(i, 0x3000000000000005) | 1) * (sequence(0, 0x4000000000000007) | 1) for i in range(WORDS)]
    high = sequence(0, 0x2000000000000003)
    words = [sequence(i, 0x1000000000000001) + high for i in range(WORDS)]
    return sum(w * x for w, x in zip(weights, words, strict=True)) & MASK, sum(weights) & MASK


class Board:
    """Numbers that all processes see."""

    def __init__(self):
        self.page = mmap.mmap(-1, mmap.PAGESIZE)

    def __getitem__(self, name):
        return struct.unpack_from("Q", self.page, 8 * NAMES.index(name))[0]

    def __setitem__(self, name, value):
        struct.pack_into("Q", self.page, 8 * NAMES.index(name), value)


class Device:
    def __init__(self):
        self.cuda = ctypes.CDLL(os.environ["CRIU_CUDA_DRIVER"])
        context, module = ctypes.c_void_p(), ctypes.c_void_p()
        check(self.cuda.cuInit(0))
        check(self.cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))
        check(self.cuda.cuCtxSetCurrent(context))
        check(self.cuda.cuModuleLoadData(ctypes.byref(module), PTX))
        self.fill, self.checksum, self.stream = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        check(self.cuda.cuModuleGetFunction(ctypes.byref(self.fill), module, b"ccr_fill_u64"))
        check(self.cuda.cuModuleGetFunction(ctypes.byref(self.checksum), module, b"ccr_checksum_u64"))
        check(self.cuda.cuStreamCreate(ctypes.byref(self.stream), 1))

    def allocate(self, size):
        address = ctypes.c_uint64()
        check(self.cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size)))
        return address.value

    def launch(self, function, *values):
        arguments = [ctypes.c_uint64(value) for value in values]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(one) for one in arguments))
        shape = [ctypes.c_uint(n) for n in (1, 1, 1, 32, 1, 1, 0)]
        check(self.cuda.cuLaunchKernel(function, *shape, self.stream, pointers, None))

    def wait(self):
        check(self.cuda.cuStreamSynchronize(self.stream))


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_ubyte * 64)]  # passed by value, on the stack


class Events:
    """The producer's."""

    def __init__(self, device):
        self.device, self.made, self.handle = device, {}, Handle()

    def end(self, arrived):
        """Destroys those whose tensors have arrived: the handle is no longer on its way."""
        for number in [one for one in self.made if one < arrived]:
            check(self.device.cuda.cuEventDestroy_v2(self.made.pop(number)))

    def record(self, number, mode):
        event = self.made.pop(max(self.made), None) if mode == ONE and self.made else None
        if not event:
            event, interprocess = ctypes.c_void_p(), 6  # with DISABLE_TIMING
            check(self.device.cuda.cuEventCreate(ctypes.byref(event), ctypes.c_uint(interprocess)))
            check(self.device.cuda.cuIpcGetEventHandle(ctypes.byref(self.handle), event))
        self.made[number] = event
        check(self.device.cuda.cuEventRecord(event, self.device.stream))


def produce(board, queue):
    device = Device()
    blocks = [device.allocate(BLOCK) for _ in range(BLOCKS)]
    events = Events(device)
    while True:
        mode, number = board["events"], board["sent"]
        if mode != ONE:
            events.end(board["arrived"])
        if number >= board["wanted"]:
            time.sleep(0.001)
            continue
        if number - board["arrived"] >= BLOCKS:  # the block is in use
            time.sleep(0)
            continue
        offset, block = 4096 * (number % 7), blocks[number % BLOCKS]
        device.launch(device.fill, block + offset, WORDS, 0, sequence(number, 5))
        if mode:
            events.record(number, mode)
        else:
            device.wait()
        handle = Handle()
        check(device.cuda.cuIpcGetMemHandle(ctypes.byref(handle), ctypes.c_uint64(block)))
        queue.send(ITEM.pack(number, offset, bytes(handle), bytes(events.handle), mode))
        board["sent"] = number + 1


class Consumer:
    def __init__(self, board):
        self.board, self.device, self.open = board, Device(), {}
        self.sum = self.device.allocate(8)
        self.first, self.second = constants()

    def address_of(self, handle):
        """Opens it, or takes the open one; the least recently opened are closed."""
        if handle not in self.open:
            address, lazy_peer_access = ctypes.c_uint64(), ctypes.c_uint(1)
            value = Handle.from_buffer_copy(handle)
            check(self.device.cuda.cuIpcOpenMemHandle_v2(ctypes.byref(address), value, lazy_peer_access))
            self.open[handle] = address.value
        while len(self.open) > KEPT:
            check(self.device.cuda.cuIpcCloseMemHandle(ctypes.c_uint64(self.open.pop(next(iter(self.open))))))
        return self.open[handle]

    def wait_for(self, handle, mode):
        event = ctypes.c_void_p()
        check(self.device.cuda.cuIpcOpenEventHandle(ctypes.byref(event), Handle.from_buffer_copy(handle)))
        check(self.device.cuda.cuStreamWaitEvent(self.device.stream, event, ctypes.c_uint(0)))
        if mode == ONE:
            check(self.device.cuda.cuEventDestroy_v2(event))

    def take(self, item):
        number, offset, handle, event, mode = ITEM.unpack(item)
        assert number == self.board["arrived"], number
        if mode:
            self.wait_for(event, mode)
        zero, found = ctypes.c_uint64(), ctypes.c_uint64()
        cuda, size = self.device.cuda, ctypes.c_size_t(8)
        check(cuda.cuMemcpyHtoDAsync_v2(ctypes.c_uint64(self.sum), ctypes.byref(zero), size, self.device.stream))
        self.device.launch(self.device.checksum, self.address_of(handle) + offset, WORDS, 0, self.sum)
        check(cuda.cuMemcpyDtoHAsync_v2(ctypes.byref(found), ctypes.c_uint64(self.sum), size, self.device.stream))
        self.device.wait()
        assert found.value == (self.first + self.second * sequence(number, 5)) & MASK, number
        self.board["arrived"] = number + 1


def consume(board, queue):
    consumer = Consumer(board)
    while item := queue.recv(1000):
        consumer.take(item)


def start(body, board, queue):
    pid = os.fork()
    if pid == 0:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        try:
            body(board, queue)
        finally:
            board["failed"] = 1
            os._exit(1)
    return pid


def answer(board, request):
    verb, _, argument = request.partition(" ")
    if verb == "start":
        board["wanted"] = MASK
    elif verb == "events":
        board["events"] = {"on": ONE, "each": EACH}.get(argument, OFF)
    elif verb == "await":
        while board["arrived"] < int(argument) and not board["failed"]:
            time.sleep(0.001)
    elif verb == "stop":
        board["wanted"] = 0
        # The producer may be sending one more.
        sent = -1
        while not board["failed"] and (sent != board["sent"] or board["arrived"] != sent):
            sent = board["sent"]
            time.sleep(0.02)
    if board["failed"]:
        return "error a process has failed"
    return f"ok arrived={board['arrived']}"


def main():
    path = sys.argv[2]  # --socket PATH
    board = Board()
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pids = [start(produce, board, here), start(consume, board, there)]
    here.close()
    there.close()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4)
    while True:
        connection, _ = listener.accept()
        with connection:
            request = connection.makefile("r").readline().strip()
            if request == "quit":
                return
            text = f"{answer(board, request)} pids={','.join(map(str, pids))}\n"
            connection.send(text.encode())


main()
