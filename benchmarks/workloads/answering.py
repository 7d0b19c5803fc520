# SPDX-License-Identifier: MIT
"""A program that answers lines on a Unix socket, one connection after the other.

Between two requests no connection is open, so that CRIU can dump the process.
"""

import os
import socket


def serve(path, answer):
    """Answers each request with the line that `answer()` returns, until one says "quit"."""
    listener = socket.socket(socket.AF_UNIX)
    if os.path.exists(path):
        os.unlink(path)
    listener.bind(path)
    listener.listen(4)
    while True:
        client, _ = listener.accept()
        with client:
            if client.recv(64).strip() == b"quit":
                return
            client.sendall(f"{answer()}\n".encode())
