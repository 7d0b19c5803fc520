# SPDX-License-Identifier: MIT
"""A program with device memory and a client: sends the client the next number every 5 ms, and echoes what it sends.

Arguments: a file for the port; "child" for a child without CUDA that has the client. Ends when a call on the
connection fails.
"""

import ctypes
import os
import select
import signal
import socket
import sys

PAUSE_S = 0.005


def check(result):
    assert result == 0, result


def allocate():
    cuda = ctypes.CDLL(os.environ["CRIU_CUDA_DRIVER"])
    context, address = ctypes.c_void_p(), ctypes.c_uint64()
    check(cuda.cuInit(0))
    check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))
    check(cuda.cuCtxSetCurrent(context))
    check(cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(4 << 20)))


def serve(connection):
    number = 0
    while True:
        if select.select([connection], [], [], PAUSE_S)[0]:
            received = connection.recv(4096)
            if not received:
                sys.exit(0)
            connection.sendall(received)
        connection.sendall(b"%d\n" % number)
        number += 1


def listen(path):
    listener = socket.create_server(("127.0.0.1", 0))
    with open(path + ".new", "w") as file:
        file.write(str(listener.getsockname()[1]))
    os.rename(path + ".new", path)
    return listener.accept()[0]


path, *who = sys.argv[1:]
if who == ["child"] and os.fork():
    allocate()
    signal.pause()
if not who:
    allocate()
serve(listen(path))
