# SPDX-License-Identifier: MIT
"""An OpenAI-compatible inference server: GET /health, GET /v1/models, POST /v1/completions, with or without a stream.

    inference_server.py --model-dir DIR [--config qwen2-1.5b] [--kv-gib 4] [--port 8000]

There is no tokenizer: a prompt is a list of token ids, or a text whose UTF-8 bytes are the ids; an answer is the ids in
decimal. At temperature 0 the same prompt gives the same answer. Whoever measures it speaks HTTP only, so vLLM can stand in
its place. Needs torch, transformers and aiohttp.
"""

import argparse
import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

try:
    from aiohttp import web

    from inference_engine import Engine, make_weights, read_config
except ImportError as missing:
    raise SystemExit(f"{missing}: this server needs torch, transformers and aiohttp") from None

GIB = 1 << 30


class BadRequest(Exception):
    """Answered by status 400 and its text."""


def read_number(body, name, default, low, high, kind):
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        raise BadRequest(f"{name} is {value!r}, not a number from {low} to {high}")
    return value


def read_prompt(body, vocabulary):
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        prompt = [byte % vocabulary for byte in prompt.encode()]
    if not isinstance(prompt, list) or not prompt:
        raise BadRequest("prompt is to be a text or a list of token ids, and not empty")
    for token in prompt:
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < vocabulary:
            raise BadRequest(f"prompt: {token!r} is no token id below {vocabulary}")
    return prompt


class Server:
    def __init__(self, engine, name):
        self.engine = engine
        self.name = name
        self.free = asyncio.Queue()
        self.worker = ThreadPoolExecutor(1)  # requests take turns, token by token
        for slot in engine.slots:
            self.free.put_nowait(slot)

    def read(self, body):
        """Arguments of Engine.generate, without the slot."""
        if not isinstance(body, dict):
            raise BadRequest("the body is no JSON object")
        prompt = read_prompt(body, self.engine.config.vocab_size)
        room = self.engine.slot_tokens - len(prompt)
        if room < 1:
            raise BadRequest(f"the prompt has {len(prompt)} tokens; there is room for {self.engine.slot_tokens - 1}")
        return (
            prompt,
            read_number(body, "max_tokens", min(16, room), 1, room, int),
            read_number(body, "temperature", 1, 0, 2, (int, float)),
            read_number(body, "seed", 0, 0, 2**63 - 1, int),
        )

    async def tokens(self, arguments):
        slot = await self.free.get()
        loop = asyncio.get_running_loop()
        try:
            steps = self.engine.generate(*arguments, slot)
            while (token := await loop.run_in_executor(self.worker, next, steps, None)) is not None:
                yield token
        finally:
            self.free.put_nowait(slot)

    def piece(self, text, reason):
        return {
            "id": "cmpl-0",
            "object": "text_completion",
            "created": int(time.time()),
            "model": self.name,
            "choices": [{"index": 0, "text": text, "finish_reason": reason}],
        }

    async def stream(self, request, arguments):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        async for token in self.tokens(arguments):
            await response.write(f"data: {json.dumps(self.piece(f'{token} ', None))}\n\n".encode())
        await response.write(f"data: {json.dumps(self.piece('', 'length'))}\n\ndata: [DONE]\n\n".encode())
        return response

    async def complete(self, request):
        try:
            body = await request.json()
            arguments = self.read(body)
        except (BadRequest, ValueError) as error:
            return web.json_response({"error": {"message": str(error), "type": "invalid_request_error"}}, status=400)
        if body.get("stream") is True:
            return await self.stream(request, arguments)
        tokens = [token async for token in self.tokens(arguments)]
        answer = self.piece("".join(f"{token} " for token in tokens), "length")
        used = {"prompt_tokens": len(arguments[0]), "completion_tokens": len(tokens)}
        answer["usage"] = {**used, "total_tokens": sum(used.values())}
        return web.json_response(answer)

    async def health(self, _request):
        return web.Response()

    async def models(self, _request):
        return web.json_response({"object": "list", "data": [{"id": self.name, "object": "model"}]})

    def routes(self):
        return [
            web.get("/health", self.health),
            web.get("/v1/models", self.models),
            web.post("/v1/completions", self.complete),
        ]


async def make_app(options):
    make_weights(read_config(options.config), options.model_dir, options.device)
    engine = Engine(options.model_dir, int(options.kv_gib * GIB), options.slot_tokens, options.device)
    app = web.Application()
    app.add_routes(Server(engine, options.config).routes())
    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", required=True, help="the weights; made there when it is not")
    parser.add_argument("--config", default="qwen2-1.5b", help="qwen2-1.5b, tiny, or a JSON file")
    parser.add_argument("--kv-gib", type=float, default=4, help="key-value cache, in GiB")
    parser.add_argument("--slot-tokens", type=int, default=4096, help="tokens of one request, prompt included")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--device", default="cuda", help="of torch")
    options = parser.parse_args()
    web.run_app(make_app(options), host=options.host, port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
