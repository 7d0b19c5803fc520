# SPDX-License-Identifier: MIT
"""Answers like the other servers, with nothing but Python's own modules; "state" is that io_uring fails with ENOSYS."""

import ctypes
import http.server
import json
import os

libc = ctypes.CDLL(None, use_errno=True)
IO_URING_SETUP = 425


class Handler(http.server.BaseHTTPRequestHandler):
    count = 0

    def do_GET(self):
        Handler.count += 1
        failed = libc.syscall(IO_URING_SETUP, 4, None) < 0
        state = f"{os.getuid()} {os.strerror(ctypes.get_errno()) if failed else 'a ring'}"
        body = json.dumps({"count": Handler.count, "state": state}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(f"running on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
