# SPDX-License-Identifier: MIT
"""vLLM's LLM class behind the completions endpoint, for an engine that is forked or in the same process.

    llm_server.py MODEL PORT
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from vllm import LLM, SamplingParams


def handler_for(llm):
    class Handler(BaseHTTPRequestHandler):
        def answer(self, body):
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            self.answer({})

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            wanted = SamplingParams(max_tokens=request["max_tokens"], temperature=0, ignore_eos=True)
            (result,) = llm.generate([request["prompt"]], wanted, use_tqdm=False)
            self.answer({"choices": [{"text": result.outputs[0].text}]})

        def log_message(self, *_):
            pass

    return Handler


def main():
    model, port = sys.argv[1:]
    llm = LLM(model, load_format="dummy", gpu_memory_utilization=0.12, max_model_len=2048, max_num_seqs=16, enforce_eager=True)
    HTTPServer(("127.0.0.1", int(port)), handler_for(llm)).serve_forever()


if __name__ == "__main__":
    main()
