# SPDX-License-Identifier: MIT
"""HTTP for a server of one request at a time: GET says that it is there, POST with JSON is answered with JSON."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer


def serve(port, answer):
    """Serves 127.0.0.1 forever; `answer` gets the request's object and returns the answer's."""

    class Handler(BaseHTTPRequestHandler):
        def send(self, body):
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            self.send({})

        def do_POST(self):
            self.send(answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def log_message(self, *_):
            pass

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()
